"""The moment by which this machine ends, on two clocks."""

from __future__ import annotations

from pathlib import Path

from . import protocol
from .clock import Clock
from .runfile import RunFile

_LIMIT_BYTES = 64


class Deadline:
    """Reads the deadline file each time: it may be moved, never past the label's own deadline.

    Counted on the wall clock and on elapsed time since the start, whichever comes first: a wall
    clock that is stepped back gains nothing.
    """

    def __init__(self, work: Path, run: RunFile, clock: Clock) -> None:
        self._file = work / protocol.DEADLINE_FILE
        self._clock = clock
        self._latest_s = run.latest_s
        self._last_s = min(run.deadline_s, run.latest_s)
        # A wall clock before the label's creation was never set.
        self._started_s = max(clock.now_s(), run.created_s)
        self._started_elapsed_s = clock.elapsed_s()

    def at_s(self) -> float:
        """Epoch seconds; an unreadable file changes nothing."""
        try:
            with self._file.open("rb") as file:
                said_s = float(file.read(_LIMIT_BYTES).decode())
        except (OSError, ValueError):
            return self._last_s
        if said_s > 0:
            self._last_s = min(said_s, self._latest_s)
        return self._last_s

    def left_s(self) -> float:
        """Seconds until then; negative when it has passed."""
        at_s = self.at_s()
        elapsed_s = self._clock.elapsed_s() - self._started_elapsed_s
        return min(at_s - self._clock.now_s(), at_s - self._started_s - elapsed_s)
