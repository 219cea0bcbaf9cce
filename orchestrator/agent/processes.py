"""The processes that the agent starts, and those that they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Iterator, Mapping, Sequence

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_KILL_ROUNDS = 100
_KILL_PAUSE_S = 0.02
_PROC = Path("/proc")


class Children:
    """Starts processes, each leader of its own session, and ends all that came of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, subprocess.Popen[bytes]] = {}
        self._spared: set[int] = set()
        adopt_orphans()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        spared: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start `argv`, stdin closed; `spared`: `kill_all` leaves it alone. Raises OSError."""
        with self._lock:
            process = subprocess.Popen(
                argv,
                cwd=str(cwd),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            self._known[process.pid] = process
            if spared:
                self._spared.add(process.pid)
            return process

    def signal_group(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal to a process and its group; nothing when they are gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)

    def group_lives(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether anything of a process's group is left."""
        self.reap()
        return _group_lives(process.pid)

    def reap(self) -> None:
        """Bury adopted processes; those started here are waited for by who started them."""
        with self._lock:
            for process in list(self._known.values()):
                if process.poll() is not None and not _group_lives(process.pid):
                    del self._known[process.pid]
            with contextlib.suppress(ChildProcessError):
                while True:
                    dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                    if dead is None or dead.si_pid in self._known:
                        return
                    os.waitpid(dead.si_pid, 0)

    def kill_all(self) -> None:
        """Kill every descendant but the spared ones, however they detached themselves."""
        for _ in range(_KILL_ROUNDS):
            with self._lock:
                groups = [pid for pid in self._known if pid not in self._spared]
            for pid in groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            alive = list(living_descendants(os.getpid(), self._spared))
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            if not alive:
                return
            time.sleep(_KILL_PAUSE_S)

    def end_strays(self, mark: bytes, grace_s: float) -> None:
        """End the processes with `mark` in their environment, whoever started them.

        SIGTERM, and SIGKILL to those that are left after `grace_s`.
        """
        waited_s = 0.0
        number = signal.SIGTERM
        asked: set[int] = set()
        while strays := [pid for pid in _marked(mark) if pid != os.getpid()]:
            if waited_s >= grace_s:
                number, asked = signal.SIGKILL, set()
            if waited_s >= grace_s + _KILL_ROUNDS * _KILL_PAUSE_S:
                return  # not even that ends it
            for pid in strays:
                if pid not in asked:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            asked.update(strays)
            time.sleep(_KILL_PAUSE_S)
            waited_s += _KILL_PAUSE_S


def _marked(mark: bytes) -> list[int]:
    """Pids of this user's processes that still run with `mark` in their environment."""
    found = []
    for entry in _PROC.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return found


def read_all(stream: IO[bytes]) -> Iterator[bytes]:
    """What comes out of a pipe as it comes, in pieces of at most 64 KiB."""
    descriptor = stream.fileno()
    while True:
        try:
            piece = os.read(descriptor, 1 << 16)
        except OSError:
            return
        if not piece:
            return
        yield piece


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant, where the kernel can do that."""
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes  # a python may be built without it

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def living_descendants(root: int, spared: set[int]) -> list[int]:
    """Pids below `root` that still run, without those at or below a spared one."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append((int(entry.parent.name), state))
    found: list[int] = []
    queue = [root]
    while queue:
        for pid, state in children.get(queue.pop(), []):
            if pid in spared:
                continue
            queue.append(pid)
            if state not in "ZX":
                found.append(pid)
    return found


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
