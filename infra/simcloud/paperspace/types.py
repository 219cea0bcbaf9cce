"""What Paperspace has for rent: types, regions, templates, disks. Prices are of September 2026."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from infra.simcloud.stock import Card, Stock
from infra.simcloud.web import Json

PROVIDER = "paperspace"
REGIONS = {"ny2": "East Coast (NY2)", "ca1": "West Coast (CA1)", "ams1": "Europe (AMS1)"}
_ALL = tuple(REGIONS)
_DISKS = {50: 5, 100: 7, 250: 10, 500: 20, 1000: 40, 2000: 80}
MONTH_HOURS = 730


@dataclass(frozen=True, slots=True)
class Kind:
    """One machine type."""

    name: str
    card: Card
    usd_per_hour: Decimal
    regions: tuple[str, ...]
    gpus: int = 1
    cpus: int = 8
    ram_gib: int = 30


_A4000 = Card("NVIDIA RTX A4000", "A4000", 16, None, "8.6", 8, 32)
_A5000 = Card("NVIDIA RTX A5000", "A5000", 24, None, "8.6", 8, 45)
_RTX4000 = Card("Quadro RTX 4000", "RTX4000", 8, None, "7.5", 8, 30)
_RTX5000 = Card("Quadro RTX 5000", "RTX5000", 16, None, "7.5", 8, 30)
_A6000 = Card("NVIDIA RTX A6000", "A6000", 48, None, "8.6", 8, 45)
_H100 = Card("NVIDIA H100 80GB HBM3", "H100", 80, None, "9.0", 15, 80)
KINDS = (
    Kind("C1", Card("", "", 0, None, "", 1, 1), Decimal("0.0045"), _ALL, 0, 1, 1),
    Kind("P4000", Card("Quadro P4000", "P4000", 8, None, "6.1", 8, 30), Decimal("0.51"), _ALL),
    Kind("P5000", Card("Quadro P5000", "P5000", 16, None, "6.1", 8, 30), Decimal("0.78"), _ALL),
    Kind("RTX4000", _RTX4000, Decimal("0.56"), _ALL),
    Kind("RTX5000", _RTX5000, Decimal("0.82"), ("ny2",)),
    Kind("A4000", _A4000, Decimal("0.76"), _ALL, ram_gib=45),
    Kind("A4000x2", _A4000, Decimal("1.52"), _ALL, 2, 16, 90),
    Kind("A5000", _A5000, Decimal("1.38"), ("ny2", "ca1"), ram_gib=45),
    Kind("A6000", _A6000, Decimal("1.89"), ("ny2", "ca1"), ram_gib=45),
    Kind("H100", _H100, Decimal("3.09"), ("ny2",), 1, 15, 80),
    Kind("H100x8", _H100, Decimal("47.60"), ("ny2",), 8, 128, 1638),
)  # fmt: skip
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}

_GPUS = tuple(kind.name for kind in KINDS if kind.gpus)
# id, name, label, least disk, date, types
_TEMPLATES = (
    ("t0nspur5", "Ubuntu 22.04", "Ubuntu 22.04 Server", 50, "2023-02-01", tuple(BY_NAME)),
    ("twnlo3zj", "ML-in-a-Box Ubuntu 20.04", "Ubuntu 20.04 ML-in-a-Box", 50, "2022-06-01", _GPUS),
    ("tml22box", "ML-in-a-Box Ubuntu 22.04", "Ubuntu 22.04 ML-in-a-Box", 100, "2025-03-01",
     tuple(name for name in _GPUS if not name.startswith("H100"))),
    ("tilqt47t", "ML-in-a-Box H100", "Ubuntu 22.04 ML-in-a-Box", 100, "2025-04-01", ("H100",)),
    ("t7vp562h", "ML-in-a-Box H100x8", "Ubuntu 22.04 ML-in-a-Box", 100, "2025-04-01", ("H100x8",)),
)  # fmt: skip
TEMPLATES = {row[0] for row in _TEMPLATES}


def default_stock() -> list[Stock]:
    """A shelf per type and region, with a handful of machines on each."""
    return [
        Stock(
            PROVIDER,
            kind.card,
            f"{kind.name} {region}",
            kind.usd_per_hour / max(1, kind.gpus),
            4 * kind.gpus,
            kind.gpus,
            (region,),
        )
        for kind in KINDS
        for region in kind.regions
    ]


def shelf_of(stock: list[Stock], kind: Kind, region: str) -> Stock | None:
    """Where machines of a type in a region are taken from."""
    return {one.tier: one for one in stock}.get(f"{kind.name} {region}")


def region_of(word: str) -> str:
    """The code of a region that is named by code or label; "" for no region."""
    codes = {name.lower(): code for code, label in REGIONS.items() for name in (code, label)}
    return codes.get(word.lower(), "")


def disk_usd_per_month(size_gb: float) -> Decimal:
    """By the size; of one that is not listed by the GB."""
    known = _DISKS.get(int(size_gb))
    return Decimal(known) if known else Decimal(str(size_gb)) / 10


def template_rows() -> list[dict[str, Json]]:
    """GET /os-templates."""
    return [
        {
            "id": template_id,
            "name": name,
            "agentType": "LinuxHeadless",
            "operatingSystemLabel": label,
            "defaultSizeGb": size_gb,
            "availableMachineTypes": [
                {"machineTypeLabel": kind.name, "isAvailable": kind.name in kinds} for kind in KINDS
            ],
            "dtCreated": f"{day}T00:00:00.000Z",
        }
        for template_id, name, label, size_gb, day, kinds in _TEMPLATES
    ]
