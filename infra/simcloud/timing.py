"""The cloud's time: a clock that may be moved, and delays that `--speed` shortens."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from orchestrator.clock import SystemClock


class Now(Protocol):
    """All that the cloud asks of a clock."""

    def now_s(self) -> float:
        """Seconds since the epoch, UTC."""


class Advancing(Now, Protocol):
    """A clock that can be told to move on."""

    def advance(self, seconds: float) -> None:
        """Let `seconds` go by."""


class OffsetClock:
    """The computer's clock plus the offset in a file, which everybody who shares it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._clock = SystemClock(path)
        self._write(0.0)

    def now_s(self) -> float:
        return self._clock.now_s()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._write(float(self._path.read_text()) + seconds)

    def _write(self, offset_s: float) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(f"{offset_s!r}\n")
        new.replace(self._path)
