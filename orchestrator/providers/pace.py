"""Turns to call an account, shared by every process that uses the same file.

It is a file of the home, because providers know no store. Lambda takes one launch in 12 seconds,
and its refusal of another proves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from threading import Event, Lock

from orchestrator.clock import Clock


class Pace:
    """One call per interval, whoever makes it; the file holds when the next may go.

    Also a process that begins a moment after another one ended keeps the interval.
    """

    def __init__(self, path: Path | None, interval_s: float, clock: Clock) -> None:
        """`path` None: this process alone. Nothing is written yet."""
        self._path = path
        self._interval_s = interval_s
        self._clock = clock
        self._lock = Lock()
        self._free_s = 0.0

    def take_turn(self) -> float:
        """Wait until it is this call's turn. Returns: for how long, in seconds."""
        with self._lock:
            wait_s = self._book() if self._path is None else self._book_in(self._path)
        if wait_s > 0:
            self._clock.wait(Event(), wait_s)
        return wait_s

    def _book_in(self, path: Path) -> float:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # a home that cannot be written has worse troubles than its pace
            return self._book()
        wait_s: float | None = None
        # Where the disk is full this process keeps its turns alone: a return must not wait for it.
        with contextlib.suppress(OSError), os.fdopen(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._free_s = max(self._free_s, _number(file.read(40)))
            wait_s = self._book()
            file.seek(0)
            file.truncate()
            file.write(f"{self._free_s:.3f}\n")
        return self._book() if wait_s is None else wait_s

    def _book(self) -> float:
        """Seconds until the turn. A time far ahead was written by a clock that went wrong."""
        now_s = self._clock.now_s()
        longest_s = _MOST_WAITING * self._interval_s
        wait_s = self._free_s - now_s
        wait_s = max(0.0, wait_s if wait_s <= longest_s else 0.0)
        self._free_s = now_s + wait_s + self._interval_s
        return wait_s


_MOST_WAITING = 100


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
