"""Paperspace's types, templates and stock as offers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.offers.gpus import names
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import in_regions
from orchestrator.providers.fields import MICRO, to_gb, to_integer, to_object
from orchestrator.providers.paperspace.catalog import (
    KINDS,
    MONTH_HOURS,
    REGIONS,
    Kind,
    disk_gb,
    disk_usd_per_month,
)
from orchestrator.spec.resources import Need

_IMAGE = "mlinabox"  # the template with driver, CUDA and frameworks, as its name has it
_SYSTEM_GB = 40  # of a disk, for what such a template brings along; not documented


def cells(need: Need) -> list[tuple[Kind, str]]:
    """Types and regions that a need may be offered, fit or not: refusals are told, too."""
    return [
        (kind, region)
        for kind in KINDS.values()
        if kind.gpus == need.gpu_count or (need.allow_cpu and kind.gpus == 1)
        for region in kind.regions
    ]


def may_fit(kind: Kind, region: str, need: Need) -> bool:
    """Whether it is worth a question, if a machine of this type can be had there now."""
    return (
        kind.gpu_memory_gib >= need.gpu_memory_gib
        and kind.compute_capability >= need.compute_capability
        and (not need.gpu_names or any(names(name, kind.gpu) for name in need.gpu_names))
        and in_regions(region, need.regions_allow, need.regions_deny)
    )


def to_offer(kind: Kind, region: str, template: Mapping[str, Any], need: Need) -> Offer | None:
    """One type in one region with that template; None where no disk that is sold is enough."""
    least_gb = max(to_gb(need.disk_gib) + _SYSTEM_GB, to_integer(template.get("defaultSizeGb")))
    size_gb = disk_gb(least_gb)
    if not size_gb:
        return None
    disk_usd = to_usd_per_hour(disk_usd_per_month(size_gb))
    return Offer(
        id=f"{kind.name} {region}",
        provider="paperspace",
        gpu=kind.gpu,
        gpu_count=kind.gpus,
        gpu_memory_gib=kind.gpu_memory_gib,
        price=Price(kind.usd_per_hour + disk_usd, disk_usd_per_hour=disk_usd),
        region=region,
        trust="secure",  # its owner's own data centers
        ram_gib=kind.ram_gib,
        compute_capability=kind.compute_capability,
        details={
            "type": kind.name,
            "region": REGIONS[region],
            "template": str(template["id"]),
            "disk_gb": str(size_gb),
        },
    )


def to_usd_per_hour(usd_per_month: Decimal) -> Decimal:
    """A month's price by the hour, rounded up."""
    return (usd_per_month / MONTH_HOURS).quantize(MICRO, ROUND_UP)


def to_templates(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The newest template with a driver for each type, by what its name says.

    Known ids are private at times, or vanish (skypilot-org/skypilot#3197, #3498).
    """
    found: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda one: str(one.get("dtCreated"))):
        words = f"{row.get('name')} {row.get('operatingSystemLabel')}".lower()
        if _IMAGE not in "".join(filter(str.isalnum, words)) or not isinstance(row.get("id"), str):
            continue
        kinds = row.get("availableMachineTypes")
        for kind in map(to_object, kinds if isinstance(kinds, list) else []):
            if kind.get("isAvailable") is True:
                found[str(kind.get("machineTypeLabel"))] = row
    return found
