"""The boot guard, as the agent sees it: watched, restarted, asked to end the machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Mapping

from . import protocol
from .processes import Children
from .records import Record, read_record


def guard_record(work: Path) -> Record:
    """The guard's own record; empty where there is none."""
    return read_record(work / protocol.GUARD_FILE) or {}


def guard_lives(work: Path) -> bool:
    """Whether the loop that the record names still runs."""
    pid = guard_record(work).get("pid")
    if not isinstance(pid, int) or pid <= 1:
        return False
    try:
        return protocol.GUARD_SCRIPT.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Guard:
    """Keeps the boot guard's loop alive, and ends the machine through it."""

    def __init__(self, work: Path, environment: Mapping[str, str], children: Children) -> None:
        self._work = work
        self._environment = environment  # all of PID 1's: the ways to end need the machine's key
        self._children = children
        self._restarted: int | None = None

    def keep_alive(self) -> None:
        """Start the loop again if it died. Nothing where this machine has no guard."""
        if not (self._work / protocol.GUARD_SCRIPT).is_file() or guard_lives(self._work):
            return
        if self._restarted is not None and _runs(self._restarted):
            return
        with contextlib.suppress(OSError):
            argv = ["sh", protocol.GUARD_SCRIPT]
            process = self._children.spawn(argv, cwd=self._work, env=self._environment, spared=True)
            self._restarted = process.pid

    def end_machine(self) -> None:
        """Ask for the end of this machine; safe to repeat."""
        with contextlib.suppress(OSError):
            (self._work / protocol.END_FILE).touch(mode=0o600)
        self.keep_alive()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
