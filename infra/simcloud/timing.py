"""The cloud's time: a clock that may be moved, and delays that `--speed` shortens."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
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

    def __init__(self, path: Path, ahead_s: Mapping[Path, float] = MappingProxyType({})) -> None:
        """`ahead_s`: files of those whose clocks are ahead of it, and by how many seconds."""
        self._path = path
        self._files = {path: 0.0, **ahead_s}
        self._lock = threading.Lock()
        self._clock = SystemClock(path)
        self._write(0.0)

    def now_s(self) -> float:
        return self._clock.now_s()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._write(float(self._path.read_text()) + seconds)

    def _write(self, offset_s: float) -> None:
        for path, ahead_s in self._files.items():
            new = path.with_name(f"{path.name}.new")
            new.write_text(f"{offset_s + ahead_s!r}\n")
            new.replace(path)
