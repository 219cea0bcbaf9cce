"""What is for rent, as v2 shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra.simcloud.runpod.pods import version_number
from infra.simcloud.runpod.problems import Problem, invalid
from infra.simcloud.runpod.shelves import COMMUNITY, DATA_CENTERS, PROVIDER, SECURE, level
from infra.simcloud.stock import Stock
from infra.simcloud.web import Json
from infra.simcloud.world import World

_PRODUCTS = {"POD", "CLUSTER", "SERVERLESS"}
_NEEDS_INCLUDE = ("product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion")


@dataclass(frozen=True, slots=True)
class _Wanted:
    count: int
    cloud: str
    countries: tuple[str, ...]
    cuda: tuple[str, ...]
    least_cuda: str

    def fits_cuda(self, version: str) -> bool:
        return (not self.cuda or version in self.cuda) and (
            version_number(version) >= version_number(self.least_cuda or "0")
        )

    def fits_place(self, center: str) -> bool:
        # EU-RO-1, US-KS-2: the country is the second part, except in the United States.
        first, second = center.split("-")[:2]
        country = first if first in ("US", "CA") else second
        return not self.countries or country in self.countries


def list_gpus(world: World, query: Mapping[str, str], *, odd: bool = False) -> dict[str, Json]:
    """GET /v2/catalog/gpus. Raises: Problem.

    Args:
        odd: NONE above data centers that have stock, and a card called `unknown` (live, 2026-08).
    """
    wanted = _read_query(query)
    ids = dict.fromkeys(stock.card.id for stock in world.stock_of(PROVIDER))
    rows = [_gpu(world, gpu_id, wanted) for gpu_id in ids]
    if odd:
        rows += [{**rows[0], "id": "unknown", "name": "unknown"}]
        rows = [row | ({"availability": "NONE"} if "dataCenters" in row else {}) for row in rows]
    return {"gpus": list(rows)}


def get_gpu(world: World, gpu_id: str, query: Mapping[str, str]) -> dict[str, Json]:
    """GET /v2/catalog/gpus/{id}. Raises: Problem."""
    wanted = _read_query(query)
    if all(stock.card.id != gpu_id for stock in world.stock_of(PROVIDER)):
        raise Problem(404, "resource not found")
    return _gpu(world, gpu_id, wanted)


def list_data_centers(world: World, query: Mapping[str, str]) -> dict[str, Json]:
    """GET /v2/catalog/datacenters."""
    regions = [region for region in query.get("regions", "").split(",") if region]
    centers: list[Json] = []
    for center in DATA_CENTERS:
        if regions and center.region not in regions:
            continue
        row: dict[str, Json] = {
            "id": center.id,
            "name": center.name,
            "region": center.region,
            "globalNetwork": False,
            "networkVolumeTypes": ["STANDARD"],
            "compliance": list(center.compliance),
        }
        there: list[Json] = [
            {
                "id": stock.card.id,
                "name": stock.card.name,
                "availability": level(stock.free, 1),
            }
            for stock in world.stock_of(PROVIDER)
            if center.id in stock.data_centers
        ]
        if there and "GPU_AVAILABILITY" in query.get("include", "").split(","):
            row["gpuAvailability"] = there
        centers.append(row)
    return {"dataCenters": centers}


def _read_query(query: Mapping[str, str]) -> _Wanted | None:
    """What availability was asked for, None when none was. Raises: Problem."""
    if "include" not in query:
        if named := [name for name in _NEEDS_INCLUDE if name in query]:
            raise Problem(400, f"{named[0]} is valid only with include=AVAILABILITY")
        return None
    if query["include"] != "AVAILABILITY":
        raise invalid("include: value must be AVAILABILITY")
    products = query.get("product", "").split(",")
    if products == [""]:
        raise Problem(400, "product is required with include=AVAILABILITY")
    if not set(products) <= _PRODUCTS:
        raise invalid(f"product: value must be one of {', '.join(sorted(_PRODUCTS))}")
    count = query.get("count", "1")
    if not count.isdecimal() or int(count) < 1:
        raise invalid("count: minimum: want 1")
    cloud = query.get("cloud", SECURE)
    if cloud not in (SECURE, COMMUNITY):
        raise invalid("cloud: value must be one of SECURE, COMMUNITY")
    countries = tuple(filter(None, query.get("countryCodes", "").split(",")))
    if not all(re.fullmatch("[A-Z]{2}", country) for country in countries):
        raise invalid("countryCodes: must be ISO 3166-1 alpha-2, upper case")
    cuda = tuple(filter(None, query.get("cudaVersions", "").split(",")))
    least = query.get("minCudaVersion", "")
    if cuda and least:
        raise Problem(400, "cudaVersions and minCudaVersion are mutually exclusive")
    if not all(re.fullmatch(r"\d+\.\d+", version) for version in cuda):
        raise invalid("cudaVersions: must be major.minor")
    if least and not re.fullmatch(r"\d+(\.\d+)?", least):
        raise invalid("minCudaVersion: must be major or major.minor")
    return _Wanted(int(count), cloud, countries, cuda, least)


def _gpu(world: World, gpu_id: str, wanted: _Wanted | None) -> dict[str, Json]:
    shelves = {stock.tier: stock for stock in world.stock_of(PROVIDER) if stock.card.id == gpu_id}
    card = next(iter(shelves.values())).card
    row: dict[str, Json] = {
        "id": card.id,
        "name": card.name,
        "pool": card.pool,
        "manufacturer": "NVIDIA",
        "memory": card.memory_gb,
        "secure": SECURE in shelves,
        "community": COMMUNITY in shelves,
        "price": {tier.lower(): _price(shelves.get(tier)) for tier in (SECURE, COMMUNITY)},
        "maxCount": {tier.lower(): _largest(shelves.get(tier)) for tier in (SECURE, COMMUNITY)},
    }
    if wanted is not None:
        row |= _availability(shelves.get(wanted.cloud), wanted)
    return row


def _availability(stock: Stock | None, wanted: _Wanted) -> dict[str, Json]:
    if stock is None:
        return {"availability": "NONE"}
    versions: list[Json] = [
        {"version": version, "available": stock.free >= wanted.count}
        for version in stock.cuda_versions
        if wanted.fits_cuda(version)
    ]
    names = {center.id: center.name for center in DATA_CENTERS}
    left = level(stock.free if versions else 0, wanted.count)
    if wanted.count > stock.largest:
        left = "NONE"
    row: dict[str, Json] = {"availability": left, "cudaVersions": versions}
    centers: list[Json] = [
        {"id": center, "name": names[center], "availability": left}
        for center in stock.data_centers
        if wanted.fits_place(center)
    ]
    if centers:
        row["dataCenters"] = centers
    return row


def _price(stock: Stock | None) -> float:
    return float(stock.usd_per_gpu_hour) if stock else 0.0


def _largest(stock: Stock | None) -> int:
    return stock.largest if stock else 0
