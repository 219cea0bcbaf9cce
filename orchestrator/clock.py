"""Time: the only module beside the agent's that reads a clock.

Three readings, in seconds. `now_s` is the wall clock (epoch); it may leap forwards, never back.
`awake_s` runs only while this computer is awake. `elapsed_s` runs through a suspend too. A
simulated cloud moves all three by the offset in the file that `GPULEASE_CLOCK` names.

A clock that is set back while a machine bills would shrink the upper figure. Forwards a paused
virtual machine leaps too. A new driver begins no earlier than its runs were last written, and where
the computer was not started anew since, it counts on from what the driver before it knew.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Protocol

_SLICE_S = 0.2


def this_boot() -> str:
    """Which start of this computer `elapsed_s` counts from; empty where that cannot be told."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _since_boot_s() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock(Protocol):
    """What every layer may ask about time."""

    def now_s(self) -> float:
        """Seconds since the epoch, UTC; never less than a moment ago."""

    def awake_s(self) -> float:
        """Seconds that this computer was awake, from an arbitrary start."""

    def elapsed_s(self) -> float:
        """Seconds including suspend, from an arbitrary start."""

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` of `awake_s` went by; true if it was set."""


@dataclass(slots=True)
class SystemClock:
    """The computer's clocks, moved by a simulated cloud's offset file where one is named.

    A machine bills while somebody sets this computer's clock back: what has gone by stays gone
    by. A leap forwards is believed, because a virtual machine that was paused makes one.
    """

    offset_file: Path | None = None
    wall_s: Callable[[], float] = time.time
    since_boot_s: Callable[[], float] = _since_boot_s
    _booted_s: float = -math.inf  # epoch of the boot, by the most advanced wall clock so far

    def now_s(self) -> float:
        since_boot_s = self.since_boot_s()
        self._booted_s = max(self._booted_s, self.wall_s() - since_boot_s)
        return self._booted_s + since_boot_s + self._offset_s()

    def not_before(self, epoch_s: float) -> None:
        """It is at least `epoch_s` now, as somebody wrote down before this process began."""
        booted_s = epoch_s - self.since_boot_s() - self._offset_s()
        self._booted_s = max(self._booted_s, booted_s)

    def to_record(self, since_s: float) -> dict[str, str | float]:
        """What a later process of the same boot needs, to count on for what is younger than that.

        Args:
            since_s: what was written by then, this process goes on with (epoch).
        """
        self.now_s()
        return {"boot": this_boot(), "booted_s": self._booted_s, "since_s": since_s}

    def count_on(self, record: Mapping[str, Any], written_s: float) -> None:
        """Go on from what was last written, at `written_s`, and from the record of its writer.

        One that is younger is not its writer's: there the clock may have been ahead for a while,
        and put right since.
        """
        self.not_before(written_s)
        if record.get("boot") and record["boot"] == this_boot() and record["since_s"] <= written_s:
            self._booted_s = max(self._booted_s, record["booted_s"])

    def awake_s(self) -> float:
        return time.monotonic() + self._offset_s()

    def elapsed_s(self) -> float:
        return self.since_boot_s() + self._offset_s()

    def wait(self, event: Event, seconds: float) -> bool:
        if self.offset_file is None:
            return event.wait(max(0.0, seconds))
        until_s = self.awake_s() + seconds
        while (left_s := until_s - self.awake_s()) > 0:
            if event.wait(min(_SLICE_S, left_s)):
                return True
        return event.is_set()

    def _offset_s(self) -> float:
        if self.offset_file is None:
            return 0.0
        try:
            return float(self.offset_file.read_text() or 0)
        except (OSError, ValueError):
            return 0.0


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only when told; `wait` moves it at once."""

    at_s: float = 1_800_000_000.0
    suspended_s: float = field(default=0.0)

    def now_s(self) -> float:
        return self.at_s

    def awake_s(self) -> float:
        return self.at_s - self.suspended_s

    def elapsed_s(self) -> float:
        return self.at_s

    def wait(self, event: Event, seconds: float) -> bool:
        if event.is_set():
            return True
        self.advance(max(0.0, seconds))
        return False

    def advance(self, seconds: float, *, asleep: bool = False) -> None:
        """Let `seconds` go by; with `asleep` this computer was suspended meanwhile."""
        self.at_s += seconds
        if asleep:
            self.suspended_s += seconds


def to_iso(epoch_s: float) -> str:
    """UTC time for people and JSON.

    >>> to_iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
