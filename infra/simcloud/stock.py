"""What a cloud has for rent: cards, and how many of them are left where."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of GPU, and what a machine has beside each of them."""

    id: str  # as the driver names it
    name: str
    memory_gb: int
    pool: str | None
    compute_capability: str
    vcpus: int
    ram_gb: int


@dataclass(slots=True)
class Stock:
    """One card in one place at one price; `free` GPUs go down as they are rented."""

    provider: str
    card: Card
    tier: str
    usd_per_gpu_hour: Decimal
    free: int
    largest: int  # GPUs in the biggest machine
    data_centers: tuple[str, ...] = ()  # none: hosts anywhere
    cuda_versions: tuple[str, ...] = ("13.0", "12.8", "12.6", "12.4")
