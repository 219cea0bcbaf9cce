"""What RunPod has for rent: cards, tiers, prices, data centers. Prices are of November 2026."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from infra.simcloud.stock import Card, Stock

PROVIDER = "runpod"
SECURE = "SECURE"  # the provider's own data centers
COMMUNITY = "COMMUNITY"  # hosts of others


@dataclass(frozen=True, slots=True)
class DataCenter:
    """One place."""

    id: str
    name: str
    region: str
    compliance: tuple[str, ...] = field(default=())


DATA_CENTERS = (
    DataCenter("EU-RO-1", "EU Romania 1", "EUROPE", ("GDPR",)),
    DataCenter("EU-SE-1", "EU Sweden 1", "EUROPE", ("GDPR",)),
    DataCenter("US-KS-2", "US Kansas 2", "NORTH_AMERICA", ("SOC_2_TYPE_2",)),
    DataCenter("US-TX-3", "US Texas 3", "NORTH_AMERICA"),
    DataCenter("CA-MTL-1", "CA Montreal 1", "NORTH_AMERICA"),
    DataCenter("AP-JP-1", "AP Japan 1", "ASIA"),
)

_4090 = Card("NVIDIA GeForce RTX 4090", "RTX 4090", 24, "ADA_24", "8.9", 16, 62)
_L4 = Card("NVIDIA L4", "L4", 24, "ADA_24", "8.9", 12, 50)
_L40S = Card("NVIDIA L40S", "L40S", 48, "ADA_48_PRO", "8.9", 16, 94)
_A40 = Card("NVIDIA A40", "A40", 48, "AMPERE_48", "8.6", 9, 50)
_A100 = Card("NVIDIA A100 80GB PCIe", "A100 PCIe", 80, "AMPERE_80", "8.0", 8, 117)
_H100 = Card("NVIDIA H100 80GB HBM3", "H100 SXM", 80, "HOPPER_80", "9.0", 20, 251)
_A4000 = Card("NVIDIA RTX A4000", "RTX A4000", 16, "AMPERE_16", "8.6", 9, 25)


def default_stock() -> list[Stock]:
    """A fresh stock."""
    usd = Decimal
    return [
        Stock(PROVIDER, _4090, SECURE, usd("0.69"), 24, 8, ("EU-RO-1", "US-KS-2", "US-TX-3")),
        Stock(PROVIDER, _4090, COMMUNITY, usd("0.34"), 8, 4),
        Stock(PROVIDER, _L4, SECURE, usd("0.43"), 12, 8, ("EU-RO-1", "EU-SE-1")),
        Stock(PROVIDER, _L40S, SECURE, usd("0.86"), 16, 8, ("US-KS-2", "US-TX-3", "EU-SE-1")),
        Stock(PROVIDER, _A40, SECURE, usd("0.40"), 20, 10, ("CA-MTL-1", "EU-SE-1")),
        Stock(PROVIDER, _A100, SECURE, usd("1.64"), 8, 8, ("US-KS-2", "CA-MTL-1")),
        Stock(PROVIDER, _H100, SECURE, usd("2.99"), 8, 8, ("US-TX-3", "AP-JP-1")),
        Stock(PROVIDER, _A4000, SECURE, usd("0.25"), 16, 12, ("EU-RO-1", "EU-SE-1")),
        Stock(PROVIDER, _A4000, COMMUNITY, usd("0.17"), 4, 2),
    ]


def level(free: int, wanted: int) -> str:
    """How much is left, in four words.

    >>> level(8, wanted=8), level(3, wanted=4)
    ('LOW', 'NONE')
    """
    machines = free // max(1, wanted)
    if machines < 1:
        return "NONE"
    if machines < 3:
        return "LOW"
    return "MEDIUM" if machines < 10 else "HIGH"
