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
    runs). Traffic is charged beside it, per GiB: uploads leave the machine, downloads reach it.
    """

    usd_per_hour: Decimal
    upload_usd_per_gib: Decimal = Decimal(0)
    download_usd_per_gib: Decimal = Decimal(0)
    disk_usd_per_hour: Decimal = Decimal(0)  # the part of the rate that is charged before it runs

    def for_traffic(self, download_bytes: float, upload_bytes: float) -> Decimal:
        """Dollars for bytes that reach the machine and that leave it, rounded up.

        >>> Price(Decimal(1), Decimal("0.02"), Decimal("0.01")).for_traffic(2**30, 2**29)
        Decimal('0.020000')
        """
        down_gib, up_gib = (
            Decimal(math.ceil(max(0.0, size))) / 2**30 for size in (download_bytes, upload_bytes)
        )
        usd = self.download_usd_per_gib * down_gib + self.upload_usd_per_gib * up_gib
        return usd.quantize(_MICRO, ROUND_UP)

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
