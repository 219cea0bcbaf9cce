"""What is ordered, what was asked, and why an order is not carried out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from infra.simcloud.stock import Stock


class SoldOut(Exception):
    """There is not so much of it left."""

    def __init__(self) -> None:
        super().__init__("there is not so much of it left")


class NotNow(Exception):
    """The machine is not in a state for this."""

    def __init__(self) -> None:
        super().__init__("the machine is not in a state for this")


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
    """What somebody wants to rent, and how its provider treats such machines."""

    provider: str
    account: str
    label: str
    stock: Stock
    gpu_count: int
    data_center: str | None
    machine_id: str = ""  # none: a word
    gpu_usd_per_hour: Decimal | None = None  # None: the price of its shelf
    disk_usd_per_hour: Decimal = Decimal(0)
    stopped_usd_per_hour: Decimal = Decimal(0)
    usd_per_gb_in: Decimal = Decimal(0)
    usd_per_gb_out: Decimal = Decimal(0)
    has_ssh: bool = True
    has_proxy: bool = False  # its sshd is also reached by way of the provider
    boots_free: bool = False  # until it runs only its disk bills
    keeps_disk: bool = False  # stopped, it loses nothing
    stays_when_lost: bool = False  # without its host, its provider still knows it
    address: tuple[str, int] | None = None  # where its sshd is reached; None: a port of ours
    billing_increment_s: int = 1
    boot_factor: float = 1.0  # of the boot time
    is_container: bool = True  # false: when its first process ends, it is out of touch for good
    starting_share: float = 0.3  # of the boot time until the container starts
    ssh_share: float = 0.0  # of the boot time, from running until its sshd answers
