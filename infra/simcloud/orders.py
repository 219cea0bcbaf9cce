"""Who pays, what is ordered, what was asked, and why an order is not carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from infra.simcloud.stock import Stock


class SoldOut(Exception):
    """There is not so much of it left."""


class NotNow(Exception):
    """The machine is not in a state for this."""

    def __init__(self) -> None:
        super().__init__("the machine is not in a state for this")


@dataclass(slots=True)
class Account:
    """Somebody who pays."""

    id: str
    credit_usd: Decimal
    ssh_keys: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached a provider's API; status None: the answer never went out."""

    provider: str
    method: str
    path: str
    status: int | None
    at_s: float


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to rent."""

    provider: str
    account: str
    label: str
    stock: Stock
    gpu_count: int
    data_center: str | None
    disk_usd_per_hour: Decimal = Decimal(0)
    stopped_usd_per_hour: Decimal = Decimal(0)
    has_ssh: bool = True
