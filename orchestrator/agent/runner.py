"""Runs one command of the job: its output into the log, its end by itself or by our wish."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from .log import Log
from .processes import Children, read_all
from .stopping import StopWish

_POLL_S = 0.1
_LAST_OUTPUT_S = 5.0
_HELD_OUTPUT_S = 0.5
_DEATH_S = 30.0  # SIGKILL → given up: what hangs in a GPU's driver cannot die


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int | None
    signal: int | None
    killed: bool = False  # by us; without an exit code or a signal it did not even end by that

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.exit_code == 0


class Runner:
    """Runs commands one after another. `abort` ends them at once."""

    def __init__(
        self, children: Children, log: Log, wish: StopWish, death_s: float = _DEATH_S
    ) -> None:
        self._death_s = death_s
        self._children = children
        self._log = log
        self._wish = wish
        self.abort = threading.Event()

    def run(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], graceful: bool = False
    ) -> Ended:
        """Run `argv` and wait.

        With `graceful`, as the program: a wish to stop is SIGTERM to all of its group, SIGKILL in
        time to whoever is left of it, and nothing that it started outlives it.

        Raises OSError when it cannot be started.
        """
        process = self._children.spawn(
            argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        pump = threading.Thread(target=self._pump, args=(process,), daemon=True)
        pump.start()
        killed = self._wait(process, graceful)
        if graceful:
            self._children.kill_all()
            pump.join(_LAST_OUTPUT_S)
        else:
            # What set-up left running may be what the program needs.
            pump.join(_HELD_OUTPUT_S)
        code = process.returncode
        if code is None:
            self._log.note(f"process {process.pid} does not end, not even by SIGKILL")
            return Ended(None, None, killed)
        return Ended(code, None, killed) if code >= 0 else Ended(None, -code, killed)

    def capture(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str] | None:
        """Exit code and stdout of a short command; None when it cannot run or takes too long."""
        try:
            process = self._children.spawn(argv, cwd=cwd, env=env, stdout=subprocess.PIPE)
        except OSError:
            return None
        try:
            for _ in range(max(1, int(timeout_s / _POLL_S))):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    out, _ = process.communicate(timeout=_POLL_S)
                    return process.returncode, out.decode(errors="replace")
                if self._wish.is_asked() or self.abort.is_set():
                    break
            return None
        finally:
            self._children.signal_group(process, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=self._death_s)
            if process.stdout:
                process.stdout.close()

    def _wait(self, process: subprocess.Popen[bytes], graceful: bool) -> bool:
        asked = killed = False
        left_s = self._death_s
        while left_s > 0:
            if _has_ended(process):
                # A shell dies of SIGTERM at once; the training that it runs still has its grace.
                if not asked or not self._children.group_lives(process):
                    return killed
                time.sleep(_POLL_S)
            if self._wish.is_asked() and graceful and not asked:
                asked = True
                self._children.signal_group(process, signal.SIGTERM)
            overdue = self._wish.is_overdue() if graceful else self._wish.is_asked()
            if overdue or self.abort.is_set():
                killed = True
                self._children.signal_group(process, signal.SIGKILL)
                left_s -= _POLL_S
        return killed

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for piece in read_all(process.stdout):
                self._log.write(piece)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; looks for a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_POLL_S)
        return True
    return False
