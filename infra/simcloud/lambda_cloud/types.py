"""What Lambda has for rent: types, regions, images. Prices are of September 2026."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from infra.simcloud.stock import Card, Stock
from infra.simcloud.web import Json

PROVIDER = "lambda"


@dataclass(frozen=True, slots=True)
class Kind:
    """One instance type."""

    name: str
    gpu: str  # as the API describes it
    card: Card
    gpus: int
    cents: int  # an hour, the whole instance
    vcpus: int
    ram_gib: int
    disk_gib: int
    regions: tuple[str, ...]
    arm: bool = False

    @property
    def description(self) -> str:
        """As the console shows it."""
        return f"{self.gpus}x {self.gpu}" if self.gpus else f"{self.vcpus} vCPUs"


REGIONS = {
    "us-east-1": "Virginia, USA",
    "us-west-1": "California, USA",
    "us-south-2": "North Texas, USA",
    "us-southeast-1": "Georgia, USA",
    "europe-central-1": "Germany",
}
FAMILIES = ("lambda-stack-24-04", "lambda-stack-22-04", "gpu-base-24-04", "gpu-base-22-04")
_NONE = Card("", "", 0, None, "", 4, 16)
_A10 = Card("NVIDIA A10", "A10", 24, None, "8.6", 30, 226)
_A6000 = Card("NVIDIA RTX A6000", "A6000", 48, None, "8.6", 14, 100)
_A100 = Card("NVIDIA A100-SXM4-40GB", "A100", 40, None, "8.0", 30, 220)
_H100P = Card("NVIDIA H100 PCIe", "H100 PCIe", 80, None, "9.0", 26, 225)
_H100 = Card("NVIDIA H100 80GB HBM3", "H100 SXM5", 80, None, "9.0", 26, 225)
_GH200 = Card("NVIDIA GH200 480GB", "GH200", 96, None, "9.0", 64, 432)
_A100_80 = Card("NVIDIA A100-SXM4-80GB", "A100 80GB", 80, None, "8.0", 30, 225)

KINDS = (
    Kind("gpu_1x_a10", "A10 (24 GB PCIe)", _A10, 1, 129, 30, 226, 1331, ("us-east-1", "us-west-1")),
    Kind("gpu_1x_a6000", "A6000 (48 GB)", _A6000, 1, 109, 14, 100, 512, ("us-south-2",)),
    Kind("gpu_2x_a6000", "A6000 (48 GB)", _A6000, 2, 218, 28, 200, 1024, ("us-south-2",)),
    Kind("gpu_1x_a100_sxm4", "A100 (40 GB SXM4)", _A100, 1, 199, 30, 220, 512, ("us-west-1",)),
    Kind(
        "gpu_8x_a100_80gb_sxm4", "A100 (80 GB SXM4)", _A100_80, 8, 2232, 240, 1800, 19968,
        ("us-southeast-1",),
    ),
    Kind("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", _H100P, 1, 329, 26, 225, 1024, ("us-west-1",)),
    Kind(
        "gpu_1x_h100_sxm5", "H100 (80 GB SXM5)", _H100, 1, 429, 26, 225, 2816,
        ("us-southeast-1", "us-south-2"),
    ),
    Kind("gpu_1x_gh200", "GH200 (96 GB)", _GH200, 1, 229, 64, 432, 4096, ("us-east-1",), arm=True),
    Kind("cpu_4x_general", "N/A", _NONE, 0, 20, 4, 16, 512, ("us-east-1", "europe-central-1")),
)  # fmt: skip


def default_stock() -> list[Stock]:
    """A shelf per type and region, with a handful of machines on each."""
    return [
        Stock(
            PROVIDER,
            kind.card,
            f"{kind.name} {region}",
            Decimal(kind.cents) / 100 / max(1, kind.gpus),
            4 * kind.gpus,
            kind.gpus,
            (region,),
        )
        for kind in KINDS
        for region in kind.regions
    ]


def kind_json(kind: Kind, *, later: bool = False, cents: int | None = None) -> dict[str, Json]:
    """One instance type on the wire."""
    specs: dict[str, Json] = {
        "vcpus": kind.vcpus,
        "memory_gib": kind.ram_gib,
        "storage_gib": kind.disk_gib,
        "gpus": kind.gpus,
    }
    shown: dict[str, Json] = {
        "name": kind.name,
        "description": kind.description,
        "gpu_description": kind.gpu,
        "price_cents_per_hour": kind.cents if cents is None else cents,
        "specs": specs,
    }
    if later:
        shown["architecture"] = "arm64" if kind.arm else "x86_64"
    return shown


def region_json(name: str) -> dict[str, Json]:
    """One region on the wire."""
    return {"name": name, "description": REGIONS[name]}


def images_json() -> list[Json]:
    """A row per family, region and architecture."""
    return [
        {
            "id": f"43336648-096d-4cba-9aa2-{number:012x}",
            "created_time": "2026-07-01T00:00:00+00:00",
            "updated_time": "2026-10-01T00:00:00+00:00",
            "name": family,
            "description": "Lambda Stack" if "stack" in family else "GPU Base",
            "family": family,
            "version": re.sub(r"\D+", ".", family.partition("-")[2]).strip(".") + ".1",
            "architecture": architecture,
            "region": region_json(region),
        }
        for number, (family, architecture, region) in enumerate(
            (family, architecture, region)
            for family in FAMILIES
            for architecture in ("x86_64", "arm64")
            for region in REGIONS
        )
    ]


def find_kind(name: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.name == name), None)


def shelf_of(stock: list[Stock], kind: Kind, region: str) -> Stock | None:
    """Where machines of a type in a region are taken from."""
    shelves: Mapping[str, Stock] = {one.tier: one for one in stock}
    return shelves.get(f"{kind.name} {region}")
