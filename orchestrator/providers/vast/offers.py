"""Vast.ai's market: what is searched for, and its rows as offers. Pure.

Facts are of the documents of 2026-08 and of what public clients saw until 2026-10.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.errors import ProviderDown
from orchestrator.offers.gpus import canonical, card, names
from orchestrator.offers.offer import TRUST_ORDER, Bid, Offer
from orchestrator.providers.fields import (
    rounded_up,
    to_gb,
    to_integer,
    to_known_dollars,
    to_number,
    to_object,
)
from orchestrator.spec.resources import Need

HOURS_OF_MONTH = 720  # of the storage price
GB_PER_GIB = Decimal(2**30) / 10**9
# A card that is sold as 24 GB shows 24564 or 24576: within 7 % of its name it is whole.
_SHOWN_SHARE = 0.93
_MIB_PER_GIB = 1024
_MB_BYTES = 1_000_000
_ROWS = 512  # how many the server really gives is not documented: 64 were seen
_LEAST_RELIABILITY = 0.9
_LEAST_COMPUTE = 600  # cuda_max_good alone drops some new cards: both are sent
_OVER_FLOOR, _BID_STEP_USD = Decimal("1.1"), Decimal("0.001")
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
_COUNTRY = re.compile(r"[A-Z]{2}")


def to_queries(
    need: Need, gpu_words: tuple[str, ...], *, bids: bool = False
) -> list[dict[str, Any]]:
    """Searches to send in turn until one finds something, each a list of hosts less trusted.

    The last one is there to say what a lower `trust` would give.

    Args:
        gpu_words: Vast's own names of the cards that the job wants; empty for any.
        bids: what may be bid for, instead of what is let on demand.
    """
    wanted = TRUST_ORDER.index(need.trust)
    classes = {
        "any": [{"verified": {"eq": True}}, {"verified": {"eq": False}}],
        "verified": [{"verified": {"eq": True}}],
        "datacenter": [{"verified": {"eq": True}, "datacenter": {"eq": True}}],
    }
    order = {
        0: classes["any"],
        1: [*classes["verified"], {"verified": {"eq": False}}],
    }.get(wanted, [*classes["datacenter"], *classes["verified"]])
    kind = {"type": "bid"} if bids else {}
    return [{**to_query(need, gpu_words), **kind, **trusted} for trusted in order]


def to_query(need: Need, gpu_words: tuple[str, ...]) -> dict[str, Any]:
    """The search but for the hosts' trust. Every default is sent: the server's are not certain.

    Units are the raw API's: MB and seconds, where the command line has GB and days.
    """
    disk_gb = to_gb(need.disk_gib)
    query: dict[str, Any] = {
        "num_gpus": {"eq": max(1, need.gpu_count)},
        "disk_space": {"gte": disk_gb},
        "reliability2": {"gte": _LEAST_RELIABILITY},
        "rentable": {"eq": True},
        "rented": {"eq": False},
        "external": {"eq": False},
        "direct_port_count": {"gte": 1},
        "type": "on-demand",
        "allocated_storage": disk_gb,
        "order": [["dph_total", "asc"], ["id", "asc"]],
        "limit": _ROWS,
    }
    if need.gpu_memory_gib:
        query["gpu_ram"] = {"gte": int(need.gpu_memory_gib * _MIB_PER_GIB * _SHOWN_SHARE)}
    if need.cuda:
        query["cuda_max_good"] = {"gte": float(need.cuda)}
        query["compute_cap"] = {"gte": max(_LEAST_COMPUTE, round(need.compute_capability * 100))}
    if need.duration_s:
        query["duration"] = {"gte": int(need.duration_s)}
    if gpu_words:
        query["gpu_name"] = {"in": list(gpu_words)}
    if need.regions_allow and all(_COUNTRY.fullmatch(word) for word in need.regions_allow):
        query["geolocation"] = {"in": list(need.regions_allow)}
    return query


def to_gpu_words(data: Any, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Vast's names, spaces and all, of the cards that a job names; empty when none is known."""
    listed = to_object(data).get("gpu_names")
    words = [word for word in (listed if isinstance(listed, list) else []) if isinstance(word, str)]
    return tuple(
        word for word in dict.fromkeys(words) if any(_may_mean(word, one) for one in wanted)
    )


def to_offers(data: Any, need: Need, *, bids: bool = False) -> list[Offer]:
    """Rows of a search; of several asks on one machine the cheapest.

    Args:
        bids: the search was for what may be bid for.

    Raises: ProviderDown when the answer is no list of offers.
    """
    rows = data.get("offers") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ProviderDown("Vast.ai answered a search without a list of offers")
    found: dict[str, Offer] = {}
    for row in rows:
        offer = _to_offer(to_object(row), need, bids)
        if offer is None:
            continue
        known = found.get(offer.id)
        if known is None or offer.price.usd_per_hour < known.price.usd_per_hour:
            found[offer.id] = offer
    return list(found.values())


def to_card(name: str, shown_mb: float) -> tuple[str, float]:
    """Our name of a card, and its memory in GiB.

    Vast's names leave the memory out where a card is sold with two sizes.

    >>> to_card("A100 SXM4", 81920), to_card("RTX 4090", 24564)
    (('A100 80GB SXM', 80), ('RTX 4090', 24))
    """
    shown_gib = shown_mb / _MIB_PER_GIB
    known = card(name) or card(f"{name} {round(shown_gib)}GB")
    if known is None:
        return canonical(name), shown_gib
    is_whole = known.memory_gib * _SHOWN_SHARE <= shown_gib <= known.memory_gib / _SHOWN_SHARE
    return known.name, known.memory_gib if is_whole else shown_gib


def to_region(geolocation: Any) -> str:
    """Country first, so that `regions: {allow: [CA]}` means all of it; "" when it is not told.

    >>> to_region("Quebec, CA"), to_region(None)
    ('CA-Quebec', '')
    """
    text = geolocation if isinstance(geolocation, str) else ""
    *place, country = (part.strip() for part in text.split(","))
    if not _COUNTRY.fullmatch(country):
        return ""
    return "-".join([country, *("".join(re.findall(r"[\w-]+", part)) for part in place if part)])


def to_trust(row: dict[str, Any]) -> str:
    """What class of host a row is."""
    if row.get("verification") != "verified":
        return "any"
    return "datacenter" if to_integer(row.get("hosting_type")) >= 1 else "verified"


def to_traffic(row: dict[str, Any]) -> Price | None:
    """What a row charges for traffic, and nothing else; None when it is not told."""
    up, down = (to_known_dollars(row.get(f"inet_{way}_cost")) for way in ("up", "down"))
    if up is None or down is None:
        return None
    return Price(Decimal(0), rounded_up(up * GB_PER_GIB), rounded_up(down * GB_PER_GIB))


def to_disk_usd_per_hour(row: dict[str, Any], disk_gb: int) -> Decimal | None:
    """What `disk_gb` cost an hour; None when it is not told.

    >>> to_disk_usd_per_hour({"storage_cost": Decimal("0.1493333")}, 10).normalize()
    Decimal('0.002075')
    """
    monthly = to_known_dollars(row.get("storage_cost"))
    return None if monthly is None else rounded_up(monthly * disk_gb / HOURS_OF_MONTH)


def _may_mean(word: str, wanted: str) -> bool:
    """Whether Vast's word, at some size of memory, is the card that a job names."""
    known = card(wanted)
    sized = to_card(word, known.memory_gib * _MIB_PER_GIB)[0] if known else ""
    return names(wanted, word) or (known is not None and known.name == sized)


def to_bid(row: dict[str, Any]) -> Bid | None:
    """What to bid: a little over the least that wins now; None where that is not told.

    The floor may rise between search and create, and whoever bids no more than the floor is the
    first to be outbid. What is bid is what is paid.

    >>> to_bid({"min_bid": Decimal("0.1801")})
    Bid(usd_per_hour=Decimal('0.199'), reclaims_per_hour=0.0)
    """
    floor_usd = to_known_dollars(row.get("min_bid"))
    return Bid((floor_usd * _OVER_FLOOR).quantize(_BID_STEP_USD, ROUND_UP)) if floor_usd else None


def _to_offer(row: dict[str, Any], need: Need, bids: bool) -> Offer | None:
    """None for what cannot be rented, or whose price is not told in every part."""
    ask, machine = to_integer(row.get("id")), to_integer(row.get("machine_id"))
    count = to_integer(row.get("num_gpus"))
    can_be_had = row.get("rentable") is not False and row.get("external") is not True
    is_gpu = row.get("resource_type", "gpu") == "gpu" and count > 0  # else it is never rentable
    bid = to_bid(row) if bids else None
    price = _to_price(row, to_gb(need.disk_gib), bid)
    # Rows of a search for bids are priced by the least bid: none of them is let on demand.
    is_other = bid is None if bids else row.get("is_bid") is True
    if not (ask and can_be_had and is_gpu and price) or is_other:
        return None
    word = str(row.get("gpu_name") or "")
    gpu, memory_gib = to_card(word, to_number(row.get("gpu_ram")) or 0.0)
    compute = to_number(row.get("compute_cap"))
    is_nvidia = row.get("gpu_arch") in (None, "nvidia")
    return Offer(
        id=f"{word} x{count} machine {machine or ask}{', bid' if bid else ''}",
        provider="vast",
        gpu=gpu,
        gpu_count=count,
        gpu_memory_gib=memory_gib,
        price=price,
        region=to_region(row.get("geolocation")),
        trust=to_trust(row),
        ram_gib=_your_ram_gib(row),
        cuda=_to_cuda(row) if is_nvidia else "0",
        architecture=_ARCHITECTURES.get(str(row.get("cpu_arch") or "amd64"), "unknown"),
        compute_capability=compute / 100 if compute and is_nvidia else None,
        disk_gib=_to_gib(to_number(row.get("disk_space"))),
        reliability=to_number(row.get("reliability2")) or to_number(row.get("reliability")),
        download_mbit_s=to_number(row.get("inet_down")) or None,  # 0: not measured
        available_s=to_number(row.get("duration")),
        bid=bid,
        details={"ask": str(ask), "machine": str(machine), "host": str(row.get("host_id") or "")},
    )


def _to_price(row: dict[str, Any], disk_gb: int, bid: Bid | None) -> Price | None:
    """Every part, for the disk that is asked for, whatever `dph_total` was made from."""
    gpu_usd = bid.usd_per_hour if bid else to_known_dollars(row.get("dph_base"))
    disk_usd = to_disk_usd_per_hour(row, disk_gb)
    traffic = to_traffic(row)
    if not gpu_usd or disk_usd is None or traffic is None:
        return None
    total_usd = to_known_dollars(row.get("dph_total")) or Decimal(0)
    return replace(
        traffic,
        usd_per_hour=rounded_up(max(gpu_usd + disk_usd, total_usd)),
        disk_usd_per_hour=disk_usd,
    )


def _your_ram_gib(row: dict[str, Any]) -> float | None:
    """`cpu_ram` is the whole machine's: the share of its cores is this offer's."""
    ram_mb, mine = to_number(row.get("cpu_ram")), to_number(row.get("cpu_cores_effective"))
    cores = to_integer(row.get("cpu_cores"))
    if not ram_mb or not mine or not cores:
        return None
    return ram_mb * _MB_BYTES / 2**30 * min(1.0, mine / cores)


def _to_cuda(row: dict[str, Any]) -> str:
    newest = to_number(row.get("cuda_max_good"))
    return f"{newest:.1f}" if newest else ""


def _to_gib(gb: float | None) -> float | None:
    return None if gb is None else gb * 10**9 / 2**30
