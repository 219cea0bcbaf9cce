"""Lambda's instance types and images as offers. Pure.

Facts are of API 1.10.0 and of what was seen until 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.errors import ProviderDown
from orchestrator.offers.gpus import canonical, card
from orchestrator.offers.offer import Offer
from orchestrator.providers.fields import to_integer, to_object
from orchestrator.spec.resources import Need

# The newest CUDA that the driver of each image family runs, as measured in July and August 2026
# (driver 580.105.08, 570.148.08); the first that a region has is taken. The machine's own driver
# is asked once more before anything is sent to it.
FAMILIES = {
    "lambda-stack-24-04": "13.0",
    "lambda-stack-22-04": "12.8",
    "gpu-base-24-04": "13.0",
    "gpu-base-22-04": "12.8",
}
_GPU = re.compile(r"(?P<name>[^(]+?)\s*\((?P<gib>\d{1,4}) GB(?: (?P<form>[\w-]+))?\)")
_ARM = re.compile(r"gh200|gb200|gb300", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def to_offers(types: Any, images: Any, need: Need) -> list[Offer]:
    """One offer per instance type and region that is said to have capacity.

    That is a hint in both directions; the launch alone tells.
    """
    families = _families(images)
    return [
        offer
        for item in _items(types)
        for region in _regions(item)
        if (offer := _to_offer(item, region, families)) is not None
        and offer.gpu_count in (need.gpu_count, 0)
        and (offer.gpu_count or need.allow_cpu)
    ]


def to_card(description: str) -> tuple[str, float]:
    """Our name of a card, and its memory in GiB; 0 where it is not told.

    >>> to_card("A100 (40 GB SXM4)"), to_card("A10 (24 GB PCIe)"), to_card("Tesla V100 (16 GB)")
    (('A100 40GB SXM', 40), ('A10', 24), ('V100 SXM2 16GB', 16))
    >>> to_card("Made Up 9 (7 GB)")
    ('Made Up 9', 7.0)
    """
    match = _GPU.match(description)
    if match is None:
        known = card(description)
        return canonical(description), known.memory_gib if known else 0.0
    name, gib, form = match["name"], match["gib"], match["form"] or ""
    for word in (f"{name} {form} {gib}GB", f"{name} {gib}GB", f"{name} {form}", name):
        known = card(" ".join(word.split()))
        if known is not None and abs(known.memory_gib - int(gib)) <= 1:
            return known.name, known.memory_gib
    return canonical(name), float(gib)


def to_usd_per_hour(instance_type: Any) -> Decimal:
    """Of the whole instance; 0 where it is not told."""
    cents = to_integer(to_object(instance_type).get("price_cents_per_hour"))
    return Decimal(max(0, cents)) / 100


def _to_offer(
    item: dict[str, Any], region: str, families: set[tuple[str, str, str]]
) -> Offer | None:
    kind = to_object(item.get("instance_type"))
    specs = to_object(kind.get("specs"))
    name, usd_per_hour = kind.get("name"), to_usd_per_hour(kind)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or usd_per_hour <= 0:
        return None
    architecture = _architecture(kind, name)
    count = to_integer(specs.get("gpus"))
    gpu, memory_gib = to_card(str(kind.get("gpu_description") or ""))
    found = (one for one in FAMILIES if (one, region, architecture) in families)
    family = next(found, "")
    details = {"type": name, "region": region}
    if family:
        details["family"] = family
    return Offer(
        id=f"{name} {region}",
        provider="lambda",
        gpu=gpu if count else "",
        gpu_count=count,
        gpu_memory_gib=memory_gib if count else 0.0,
        price=Price(usd_per_hour),
        region=region,
        trust="secure",  # Lambda owns its data centers' machines
        ram_gib=float(to_integer(specs.get("memory_gib"))) or None,
        cuda=FAMILIES.get(family, "") if count else "",
        architecture=architecture,
        details=details,
    )


def _architecture(kind: dict[str, Any], name: str) -> str:
    """As it is told; API 1.10.0 does not tell it."""
    if kind.get("architecture") in ("x86_64", "arm64"):
        return str(kind["architecture"])
    return "arm64" if _ARM.search(name) else "x86_64"


def _items(types: Any) -> Iterator[dict[str, Any]]:
    table = types.get("data") if isinstance(types, dict) else None
    if not isinstance(table, dict):
        raise ProviderDown("Lambda answered without the table of instance types")
    for item in table.values():
        if isinstance(item, dict) and isinstance(item.get("instance_type"), dict):
            yield item


def _regions(item: dict[str, Any]) -> list[str]:
    listed = item.get("regions_with_capacity_available")
    names = [to_object(one).get("name") for one in (listed if isinstance(listed, list) else [])]
    return [name for name in names if isinstance(name, str) and _NAME.fullmatch(name)]


def _families(images: Any) -> set[tuple[str, str, str]]:
    """Family, region and architecture of each image."""
    rows = images.get("data") if isinstance(images, dict) else None
    if not isinstance(rows, list):
        raise ProviderDown("Lambda answered without the list of images")
    return {
        (
            str(to_object(row).get("family")),
            str(to_object(to_object(row).get("region")).get("name")),
            str(to_object(row).get("architecture")),
        )
        for row in rows
    }
