"""An offer: a machine that a provider says it would rent now."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator.budget.price import Price

TRUST_ORDER = ("any", "verified", "datacenter", "secure")


@dataclass(frozen=True, slots=True)
class Bid:
    """What is bid for a machine that goes to whoever bids more."""

    usd_per_hour: Decimal  # for the whole offer, without its disk
    reclaims_per_hour: float = 0.0  # how often such a machine is expected to be taken away


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to rent, with every part of its price."""

    id: str  # stable within the provider, readable: "NVIDIA GeForce RTX 4090 x1 SECURE"
    provider: str
    gpu: str  # canonical card of offers/gpus.py, "" without a GPU
    gpu_count: int
    gpu_memory_gib: float  # per GPU
    price: Price
    region: str = ""
    trust: str = "verified"  # what class of host this is: one of TRUST_ORDER
    stock: str = ""  # "", none, low, medium, high: a hint, never a promise
    ram_gib: float | None = None
    cuda: str = ""  # newest CUDA of the host's driver, "" = unknown
    architecture: str = "x86_64"  # of the host: x86_64 | arm64
    compute_capability: float | None = None  # as the host itself says; None: as the card's table
    disk_gib: float | None = None  # the most that may be had there; None: as much as is asked for
    reliability: float | None = None  # share of time that the host was up, 0 to 1
    download_mbit_s: float | None = None  # of the host's line, as its provider measured it
    available_s: float | None = None  # for so long the host lets it; None: for ever
    bid: Bid | None = None  # it is in the price; None: on demand
    details: dict[str, str] = field(default_factory=dict)  # only this offer's provider reads it

    @property
    def spot(self) -> bool:
        """It may be taken away for a higher bid; never rented by accident."""
        return self.bid is not None

    @property
    def line_bytes_per_s(self) -> float | None:
        """What the host's line carries; None where nobody measured it, 1 Mbit/s at least."""
        return max(1.0, self.download_mbit_s) * 1e6 / 8 if self.download_mbit_s else None
