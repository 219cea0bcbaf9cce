"""What the machine has cost so far, from what the agent says at the program's start.

A model card says the cost until it was written: a later figure would change a file that the
machine's manifest vouches for. The whole cost, return included, is on the receipt.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts dollars from the program's start on."""

    usd_per_hour: float
    spent_usd: float  # when the program started, earlier machines of the run included
    started_s: float = field(default_factory=time.monotonic)

    def usd(self) -> float:
        """Dollars until now."""
        return self.spent_usd + self.usd_per_hour * (time.monotonic() - self.started_s) / 3600


def read_meter(environment: Mapping[str, str]) -> Meter | None:
    """The meter that the agent set; None where nobody said what the machine costs.

    >>> read_meter({"GPULEASE_USD_PER_HOUR": "0.6", "GPULEASE_SPENT_USD": "0.05"}).spent_usd
    0.05
    >>> read_meter({"GPULEASE_USD_PER_HOUR": "cheap"})
    """
    try:
        rate = float(environment["GPULEASE_USD_PER_HOUR"])
        return Meter(rate, float(environment["GPULEASE_SPENT_USD"]))
    except (KeyError, ValueError):
        return None
