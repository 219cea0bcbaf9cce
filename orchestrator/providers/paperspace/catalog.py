"""What Paperspace has for rent, by its price page: no call tells types, prices or places. Pure.

Prices of 2026-09-20 (paperspace.com/pricing) and of SkyPilot's catalog v7; where they differ, the
dearer counts, since a machine above its offer goes back and an hour that has begun is billed.
Types without a GPU are not offered: of their prices only the range is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

REGIONS = {
    "ny2": "East Coast (NY2)",
    "ca1": "West Coast (CA1)",
    "ams1": "Europe (AMS1)",
}
_LABELLED = re.compile(r".*\(\s*([A-Za-z0-9-]{2,12})\s*\)\s*")
_CODE = re.compile(r"[A-Za-z0-9-]{2,12}")
_ANYWHERE = ("ny2", "ca1", "ams1")
# Dollars a month of a disk of so many GB (support pages of 2024); larger ones are told by nobody,
# and reckoned at the dearest rate of these, that of the smallest.
_DISKS = {50: Decimal(5), 100: Decimal(7), 250: Decimal(10)}
_SIZES = (*_DISKS, 500, 1000, 2000)
_USD_PER_GB = Decimal("0.10")
MONTH_HOURS = 672  # of the shortest month, in which a month's price makes the dearest hour


@dataclass(frozen=True, slots=True)
class Kind:
    """One machine type."""

    name: str
    gpu: str  # canonical card of offers/gpus.py
    gpu_memory_gib: float
    gpus: int
    usd_per_hour: Decimal  # the whole machine, without its disk
    regions: tuple[str, ...]
    compute_capability: float
    ram_gib: float | None = None


def _kinds() -> tuple[Kind, ...]:
    made: list[Kind] = []

    def add(
        name: str,
        gpu: str,
        gib: float,
        usd: str,
        capability: float,
        regions: tuple[str, ...],
        ram_gib: float | None,
        several: tuple[int, ...] = (),
    ) -> None:
        for gpus in (1, *several):
            word, ram = (name, ram_gib) if gpus == 1 else (f"{name}x{gpus}", None)
            made.append(Kind(word, gpu, gib, gpus, Decimal(usd) * gpus, regions, capability, ram))

    # Of a single H100 or A100 nobody says whether it is SXM: the slower card is reckoned with.
    add("H100", "H100 PCIe", 80, "5.95", 9.0, ("ny2",), 80)
    made.append(Kind("H100x8", "H100 SXM", 80, 8, Decimal("47.60"), ("ny2",), 9.0))
    add("A100-80G", "A100 80GB PCIe", 80, "3.18", 8.0, ("ny2",), 80)
    made.append(Kind("A100-80Gx8", "A100 80GB SXM", 80, 8, Decimal("25.44"), ("ny2",), 8.0))
    add("A6000", "RTX A6000", 48, "1.89", 8.6, ("ny2", "ca1"), None)
    add("A5000", "RTX A5000", 24, "1.38", 8.6, ("ny2", "ca1"), None)
    add("A4000", "RTX A4000", 16, "0.76", 8.6, _ANYWHERE, 32, (2, 4))
    add("V100", "V100 SXM2 16GB", 16, "2.30", 7.0, ("ny2", "ams1"), 30, (2, 4))
    add("V100-32G", "V100 SXM2 32GB", 32, "2.30", 7.0, ("ny2",), 30, (2, 4))
    add("P6000", "Quadro P6000", 24, "1.10", 6.1, _ANYWHERE, 30)
    add("P5000", "Quadro P5000", 16, "0.78", 6.1, _ANYWHERE, 30)
    add("P4000", "Quadro P4000", 8, "0.51", 6.1, _ANYWHERE, 30, (2,))
    add("RTX5000", "Quadro RTX 5000", 16, "0.82", 7.5, ("ny2",), 30)
    add("RTX4000", "Quadro RTX 4000", 8, "0.56", 7.5, _ANYWHERE, 30)
    return tuple(made)


KINDS = {kind.name: kind for kind in _kinds()}


def region_code(word: object) -> str:
    """A region's code in lower case, whether it is told as code or as label; "" for neither.

    >>> region_code("East Coast (NY2)"), region_code("ny2"), region_code(7)
    ('ny2', 'ny2', '')
    """
    if not isinstance(word, str):
        return ""
    labelled = _LABELLED.fullmatch(word)
    code = labelled[1] if labelled else word
    return code.lower() if _CODE.fullmatch(code) else ""


def disk_gb(least_gb: float) -> int:
    """The smallest disk that is sold and holds so much; 0 where none does.

    >>> disk_gb(51), disk_gb(2001)
    (100, 0)
    """
    return next((size for size in _SIZES if size >= least_gb), 0)


def sold_gb(size_gb: float) -> int:
    """The size that a disk was sold as, by what its machine shows of it; 0 below the smallest.

    >>> sold_gb(107), sold_gb(0)
    (100, 0)
    """
    return next((size for size in reversed(_SIZES) if size <= size_gb), 0)


def disk_usd_per_month(size_gb: int) -> Decimal:
    """Of a disk, whether its machine runs or not.

    >>> disk_usd_per_month(50), disk_usd_per_month(500)
    (Decimal('5'), Decimal('50.00'))
    """
    return _DISKS.get(size_gb, size_gb * _USD_PER_GB)
