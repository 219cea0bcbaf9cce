"""What a job asks of hardware: the need, after sizing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """The least that a machine must have. Memory and disk in GiB, per GPU where it says so."""

    gpu_memory_gib: float = 0.0  # per GPU; 0 = any
    gpu_names: tuple[str, ...] = ()  # canonical cards of offers/gpus.py; empty = any
    gpu_count: int = 1
    allow_cpu: bool = False  # a machine without a usable GPU will do
    disk_gib: int = 20
    ram_gib: float = 0.0
    architecture: str = "x86_64"
    compute_capability: float = 0.0  # least
    cuda: str = "12.8"  # of the program's locked torch
    regions_allow: tuple[str, ...] = ()
    regions_deny: tuple[str, ...] = ()
    trust: str = "verified"  # any | verified | datacenter | secure
    duration_s: float = 0.0  # how long the machine may be needed at most
    has_secrets: bool = False  # that is why `trust` is no lower
    spot: bool = False  # offers to bid for are wanted too
