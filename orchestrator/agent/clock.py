"""The agent's time: the only module of the agent that reads a clock."""

from __future__ import annotations

import time
from pathlib import Path

# Runs through a suspend; macOS has no such clock under this name.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Wall time and elapsed time, moved by a simulated cloud's offset file where there is one."""

    def __init__(self, offset_file: str | None = None) -> None:
        self._offset_file = Path(offset_file) if offset_file else None

    def now_s(self) -> float:
        """Seconds since the epoch; may be stepped."""
        return time.time() + self._offset_s()

    def elapsed_s(self) -> float:
        """Seconds from an arbitrary start; never stepped."""
        return time.clock_gettime(_ELAPSED) + self._offset_s()

    def _offset_s(self) -> float:
        if self._offset_file is None:
            return 0.0
        try:
            return float(self._offset_file.read_text() or 0)
        except (OSError, ValueError):
            return 0.0
