"""The parts of a price, and what a machine costs over time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

CENT = Decimal("0.01")
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Price:
    """Every part of what one machine costs.

    `usd_per_hour` is the whole hourly rate of the machine (all its GPUs and its disk while it
    runs). Traffic is charged beside it, per GiB.
    """

    usd_per_hour: Decimal
    upload_usd_per_gib: Decimal = Decimal(0)
    download_usd_per_gib: Decimal = Decimal(0)

    def for_seconds(self, seconds: float, *, increment_s: int = 1) -> Decimal:
        """Dollars for `seconds`, rounded up to the billing increment.

        >>> Price(Decimal("0.36")).for_seconds(10, increment_s=60)
        Decimal('0.006000')
        """
        if seconds <= 0:
            return Decimal(0)
        increments = math.ceil(round(seconds, 6) / increment_s)
        return (self.usd_per_hour * increments * increment_s / 3600).quantize(_MICRO, ROUND_UP)

    def tick_usd(self, increment_s: int) -> Decimal:
        """One billing increment at this rate, at least a cent."""
        return max(CENT, self.for_seconds(increment_s, increment_s=increment_s))
