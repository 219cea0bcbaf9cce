"""What Vast's hosts have for rent: machines of strangers, each different. Prices of 2026-11."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

from infra.simcloud.stock import Card, Stock

PROVIDER = "vast"
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One GPU as Vast lists it."""

    card: Card
    ram_mb: int
    memory_gb_per_s: float
    tflops: float
    dlperf: float
    watts: int


def _kind(
    name: str, driver: str, ram_mb: int, cuda: str, bandwidth: float, tflops: float, dlperf: float
) -> Kind:
    card = Card(driver, name, ram_mb // 1000, None, cuda, 0, 0)
    return Kind(card, ram_mb, bandwidth, tflops, dlperf, 450 if ram_mb > 30000 else 350)


_T4 = _kind("Tesla T4", "Tesla T4", 15360, "7.5", 320, 8.1, 9.0)
_3090 = _kind("RTX 3090", "NVIDIA GeForce RTX 3090", 24576, "8.6", 936, 35.6, 49.0)
_4090 = _kind("RTX 4090", "NVIDIA GeForce RTX 4090", 24564, "8.9", 1008, 82.6, 98.0)
_5090 = _kind("RTX 5090", "NVIDIA GeForce RTX 5090", 32607, "12.0", 1792, 104.8, 171.0)
_A4000 = _kind("RTX A4000", "NVIDIA RTX A4000", 16376, "8.6", 448, 19.2, 25.0)
_A5000 = _kind("RTX A5000", "NVIDIA RTX A5000", 24564, "8.6", 768, 27.8, 38.0)
_A6000 = _kind("RTX A6000", "NVIDIA RTX A6000", 49140, "8.6", 768, 38.7, 51.0)
_L40S = _kind("L40S", "NVIDIA L40S", 46068, "8.9", 864, 91.6, 86.0)
_A100_40 = _kind("A100 SXM4", "NVIDIA A100-SXM4-40GB", 40960, "8.0", 1555, 19.5, 110.0)
_A100_80 = _kind("A100 SXM4", "NVIDIA A100-SXM4-80GB", 81920, "8.0", 2039, 19.5, 120.0)
_H100 = _kind("H100 SXM", "NVIDIA H100 80GB HBM3", 81559, "9.0", 3352, 66.9, 290.0)


@dataclass(slots=True)
class Host:
    """One machine of one host; it rents out its GPUs one by one or in powers of two."""

    machine_id: int
    host_id: int
    kind: Kind
    stock: Stock
    gpus: int
    is_datacenter: bool
    verification: str
    reliability: float
    inet_down: float  # Mbit/s
    inet_up: float
    disk_gb: float
    cuda: float
    driver: str
    place: str | None
    direct_ports: int
    static_ip: bool
    cpu_cores: int | None
    cpu_ram_mb: int
    storage_usd_per_gb_month: Decimal
    usd_per_gb_in: Decimal
    usd_per_gb_out: Decimal
    bid_share: Decimal  # of the price, which the least bid is
    end_s: float
    disk_mb_per_s: float
    ip: str

    @property
    def sizes(self) -> list[int]:
        """GPUs of each of its offers."""
        return [size for size in (1, 2, 4, 8) if size <= self.gpus]

    def usd_per_hour(self, gpus: int) -> Decimal:
        """Of the GPUs alone."""
        return self.stock.usd_per_gpu_hour * gpus

    def min_bid_usd(self, gpus: int) -> Decimal:
        """What somebody must bid for as many GPUs, without disk."""
        return round(self.usd_per_hour(gpus) * self.bid_share, 4)

    def disk_usd_per_hour(self, gb: Decimal) -> Decimal:
        """A month of Vast's has 720 hours."""
        return self.storage_usd_per_gb_month * gb / 720


@dataclass(frozen=True, slots=True)
class Ask:
    """One offer: some GPUs of one host's machine. One without GPUs is shown and never rented."""

    id: int
    host: Host
    gpus: int


# kind, GPUs, $/GPU/h, trust (see _TRUST), reliability, down and up Mbit/s, disk GB, CUDA, place,
# days until it goes away, direct ports
_ROWS: tuple[
    tuple[
        Kind, int, str, str, float, float, float, float, float, str | None, float, int
    ],
    ...,
] = (
    (_T4, 1, "0.11", "verified", 0.981, 430, 210, 210, 12.4, "Oregon, US", 60, 50),
    (_A4000, 1, "0.09", "verified", 0.994, 610, 480, 420, 13.0, "Quebec, CA", 90, 100),
    (_A4000, 4, "0.10", "verified", 0.988, 900, 880, 980, 12.8, "Bulgaria, BG", 45, 200),
    (_A4000, 2, "0.07", "unverified", 0.91, 95, 22, 160, 12.2, "Hanoi, VN", 30, 8),
    (_A5000, 1, "0.17", "verified", 0.996, 840, 610, 390, 13.0, "Ohio, US", 120, 100),
    (_A5000, 4, "0.18", "datacenter", 0.998, 2100, 1900, 1800, 13.0, "Sweden, SE", 200, 250),
    (_A5000, 2, "0.15", "verified", 0.952, 320, 88, 300, 12.4, None, 20, 20),
    (_3090, 1, "0.13", "verified", 0.972, 290, 150, 240, 12.4, "Thessaloniki, GR", 14, 30),
    (_3090, 1, "0.12", "unverified", 0.604, 180, 40, 150, 12.8, "Krakow, PL", 7, 10),
    (_3090, 2, "0.14", "verified", 0.991, 760, 700, 512, 12.8, "California, US", 60, 100),
    (_3090, 4, "0.15", "verified", 0.993, 940, 900, 1400, 13.0, "Norway, NO", 90, 150),
    (_3090, 8, "0.16", "datacenter", 0.997, 3100, 2800, 3600, 13.0, "Utah, US", 180, 400),
    (_3090, 1, "0.10", "deverified", 0.83, 60, 12, 100, 11.8, "Jiangsu, CN", 30, 0),
    (_4090, 1, "0.35", "verified", 0.994, 910, 820, 512, 13.0, "Quebec, CA", 14, 100),
    (_4090, 1, "0.28", "unverified", 0.61, 240, 55, 220, 12.8, "Saigon, VN", 5, 12),
    (_4090, 1, "0.31", "verified", 0.967, 170, 60, 260, 12.4, "Texas, US", 40, 60),
    (_4090, 1, "0.30", "verified", 0.989, 700, 650, 300, 12.2, "Czechia, CZ", 0.2, 80),
    (_4090, 2, "0.33", "verified", 0.992, 880, 540, 760, 12.8, "Poland, PL", 75, 120),
    (_4090, 4, "0.36", "datacenter", 0.998, 4200, 4000, 2600, 13.0, "Iceland, IS", 240, 300),
    (_4090, 8, "0.37", "datacenter", 0.999, 6100, 5800, 5200, 13.0, "Virginia, US", 300, 500),
    (_4090, 1, "0.29", "verified", 0.985, 510, 300, 48, 12.8, "Hungary, HU", 30, 40),
    (_4090, 1, "0.27", "verified", 0.978, 620, 300, 330, 13.0, "Ontario, CA", 30, 0),
    (_5090, 1, "0.45", "verified", 0.99, 930, 900, 640, 13.0, "Estonia, EE", 60, 90),
    (_5090, 2, "0.47", "verified", 0.987, 720, 410, 820, 13.0, "Nevada, US", 45, 90),
    (_5090, 8, "0.52", "datacenter", 0.998, 5400, 5100, 4800, 13.0, "Finland, FI", 250, 400),
    (_5090, 1, "0.38", "unverified", 0.72, 400, 90, 280, 13.0, "Taiwan, TW", 10, 25),
    (_A6000, 1, "0.39", "verified", 0.991, 680, 520, 700, 12.8, "Michigan, US", 80, 100),
    (_A6000, 4, "0.42", "datacenter", 0.997, 1900, 1700, 2400, 13.0, "Netherlands, NL", 150, 200),
    (_L40S, 2, "0.58", "verified", 0.995, 1200, 1100, 1500, 13.0, "France, FR", 100, 150),
    (_L40S, 8, "0.62", "datacenter", 0.999, 7200, 7000, 6800, 13.0, "Texas, US", 365, 600),
    (_A100_40, 4, "0.64", "verified", 0.989, 1100, 900, 1600, 12.4, "Romania, RO", 90, 180),
    (_A100_80, 1, "0.82", "verified", 0.993, 980, 940, 900, 13.0, "Washington, US", 120, 120),
    (_A100_80, 8, "0.91", "datacenter", 0.999, 8200, 8000, 9500, 13.0, "Germany, DE", 365, 800),
    (_A100_80, 2, "0.70", "unverified", 0.88, 300, 80, 600, 12.2, "Moldova, MD", 15, 30),
    (_H100, 1, "1.87", "verified", 0.992, 2400, 2200, 1200, 13.0, "Japan, JP", 90, 120),
    (_H100, 8, "2.15", "datacenter", 0.999, 9400, 9100, 14000, 13.0, "Virginia, US", 365, 900),
)  # fmt: skip
_TRUST = {
    "datacenter": (True, "verified"),
    "verified": (False, "verified"),
    "unverified": (False, "unverified"),
    "deverified": (False, "deverified"),
}
_DRIVERS = {
    11.8: "520.61.05",
    12.2: "535.183.01",
    12.4: "550.90.07",
    12.8: "570.86.10",
    13.0: "580.65.06",
}


def default_hosts(seed: random.Random, now_s: float) -> list[Host]:
    """A fresh market: the same prices, with ids and small figures by seed."""
    return [_host(number, row, seed, now_s) for number, row in enumerate(_ROWS)]


def _host(number: int, row: tuple[object, ...], seed: random.Random, now_s: float) -> Host:
    (kind, gpus, usd, trust, reliability, down, up, disk_gb, cuda, place, days, ports) = row
    assert isinstance(kind, Kind) and isinstance(gpus, int) and isinstance(ports, int)
    assert isinstance(days, int | float) and isinstance(cuda, float)
    is_datacenter, verification = _TRUST[str(trust)]
    cores = seed.choice([16, 24, 32, 64]) * (2 if gpus > 2 else 1)
    cents = seed.choice([0, 1, 3, 5, 20])
    return Host(
        machine_id=10_000 + seed.randrange(900) + number * 1000,
        host_id=60_000 + seed.randrange(30_000),
        kind=kind,
        stock=Stock(PROVIDER, kind.card, str(trust), Decimal(str(usd)), gpus, gpus),
        gpus=gpus,
        is_datacenter=is_datacenter,
        verification=verification,
        reliability=float(str(reliability)),
        inet_down=float(str(down)),
        inet_up=float(str(up)),
        disk_gb=float(str(disk_gb)),
        cuda=cuda,
        driver=_DRIVERS[cuda],
        place=None if place is None else str(place),
        direct_ports=ports,
        static_ip=is_datacenter or seed.random() < 0.5,
        # Some hosts do not say.
        cpu_cores=None if number % 11 == 6 else cores,
        cpu_ram_mb=gpus * seed.choice([32_000, 48_000, 64_000]) + seed.randrange(1000),
        storage_usd_per_gb_month=Decimal(seed.choice([10, 13, 15, 20])) / 100,
        usd_per_gb_in=Decimal(cents) / 1000,
        usd_per_gb_out=Decimal(cents) / 1000,
        bid_share=Decimal(seed.randrange(45, 70)) / 100,
        end_s=now_s + days * _DAY_S,
        disk_mb_per_s=float(seed.randrange(800, 5200)),
        ip=f"203.0.113.{number + 1}",
    )
