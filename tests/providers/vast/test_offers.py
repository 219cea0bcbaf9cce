from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.offers.offer import Bid, Offer
from orchestrator.offers.rank import select
from orchestrator.providers.vast.offers import (
    to_card,
    to_gpu_words,
    to_offers,
    to_queries,
    to_query,
    to_region,
)
from orchestrator.spec.resources import Need
from tests.providers.vast.samples import row

NEED = Need(gpu_memory_gib=24, disk_gib=75, cuda="12.8")
GB = 81  # of 75 GiB


def only(changed: dict[str, Any], need: Need = NEED) -> Offer:
    (offer,) = to_offers({"offers": [changed]}, need)
    return offer


def test_the_price_is_made_for_the_disk_that_is_asked_for_and_not_from_the_shown_total() -> None:
    offer = only(row(storage_cost=Decimal("0.1493333"), dph_total=Decimal("0.36")))

    disk_usd = Decimal("0.1493333") * GB / 720
    assert float(offer.price.disk_usd_per_hour) == pytest.approx(float(disk_usd), abs=1e-6)
    assert float(offer.price.usd_per_hour) == pytest.approx(0.35 + float(disk_usd), abs=1e-6)


def test_a_total_above_its_parts_is_believed() -> None:
    assert only(row(dph_total=Decimal("0.50"))).price.usd_per_hour == Decimal("0.50")


def test_traffic_is_priced_by_direction_and_per_gib() -> None:
    price = only(row()).price

    assert price.upload_usd_per_gib == Decimal("0.003222")  # of $0.003 a decimal GB, rounded up
    assert price.download_usd_per_gib == Decimal("0.002148")
    assert price.for_traffic(2**30, 0) == Decimal("0.002148")


@pytest.mark.parametrize(
    "missing", ["dph_base", "storage_cost", "inet_up_cost", "inet_down_cost", "id"]
)
def test_an_offer_whose_price_is_not_told_in_every_part_is_none(missing: str) -> None:
    assert to_offers({"offers": [row(**{missing: None})]}, NEED) == []


def test_a_row_of_null_attributes_is_still_an_offer() -> None:
    wanted = ("id", "dph_base", "storage_cost", "inet_up_cost", "inet_down_cost", "num_gpus")
    bare = {key: value if key in wanted else None for key, value in row().items()}

    offer = only({**bare, "resource_type": "gpu"})

    assert (offer.region, offer.trust, offer.cuda, offer.ram_gib) == ("", "any", "", None)
    assert (offer.reliability, offer.download_mbit_s, offer.available_s) == (None, None, None)


def test_memory_is_mb_and_ram_is_only_the_share_of_ones_cores() -> None:
    offer = only(row())

    assert offer.gpu_memory_gib == 24
    assert offer.ram_gib == pytest.approx(257000e6 / 2**30 * 16 / 64)
    assert only(row(cpu_cores=None)).ram_gib is None
    assert only(row(cpu_cores=0)).ram_gib is None
    assert offer.disk_gib == pytest.approx(512e9 / 2**30)


@pytest.mark.parametrize(
    ("name", "shown_mb", "card"),
    [
        ("RTX 4090", 24564, ("RTX 4090", 24)),
        ("RTX 4090", 49140, ("RTX 4090", 49140 / 1024)),  # somebody soldered
        ("A100 SXM4", 81920, ("A100 80GB SXM", 80)),
        ("A100 SXM4", 40960, ("A100 40GB SXM", 40)),
        ("Tesla T4", 15360, ("T4", 16)),
        ("H100 SXM", 81559, ("H100 SXM", 80)),
        ("RTX A5000", 24564, ("RTX A5000", 24)),
        ("Made Up 9", 10240, ("Made Up 9", 10)),
    ],
)
def test_cards_are_known_by_name_and_memory(
    name: str, shown_mb: int, card: tuple[str, float]
) -> None:
    assert to_card(name, shown_mb) == card


def test_cuda_and_compute_capability_are_the_hosts_own() -> None:
    offer = only(row(cuda_max_good=13, compute_cap=1200))

    assert (offer.cuda, offer.compute_capability) == ("13.0", 12.0)


def test_a_card_without_cuda_is_refused_with_a_reason() -> None:
    amd = only(row(gpu_name="Radeon 9", gpu_arch="amd"))

    ((_, reason),) = select(NEED, [amd], lambda _: Decimal(0)).refused
    assert "CUDA" in reason


@pytest.mark.parametrize(
    ("verification", "hosting", "trust"),
    [
        ("verified", 0, "verified"),
        ("verified", 1, "datacenter"),
        ("unverified", 1, "any"),
        ("deverified", 0, "any"),
        (None, None, "any"),
    ],
)
def test_trust_needs_a_verified_host_and_a_datacenter_a_vetted_site(
    verification: str | None, hosting: int | None, trust: str
) -> None:
    assert only(row(verification=verification, hosting_type=hosting)).trust == trust


@pytest.mark.parametrize(
    "closed",
    [
        {"rentable": False},
        {"external": True},
        {"is_bid": True},
        {"num_gpus": 0},
        {"resource_type": "cpu"},
    ],
)
def test_what_cannot_be_rented_on_demand_is_no_offer(closed: dict[str, Any]) -> None:
    assert to_offers({"offers": [row(**closed)]}, NEED) == []


def test_no_offer_of_a_search_for_what_is_on_demand_is_ever_spot() -> None:
    assert not only(row()).spot


def test_a_search_for_bids_asks_for_the_same_hosts() -> None:
    on_demand = to_queries(NEED, ("RTX 4090",))

    bids = to_queries(NEED, ("RTX 4090",), bids=True)

    assert {query["type"] for query in bids} == {"bid"}
    assert [{**query, "type": "on-demand"} for query in bids] == on_demand


@pytest.mark.parametrize("is_bid", [True, False, None])
def test_a_bid_is_a_little_over_the_least_that_wins_and_the_disk_is_beside_it(
    is_bid: bool | None,
) -> None:
    priced = {"dph_base": Decimal("0.18"), "dph_total": Decimal("0.19"), "is_bid": is_bid}
    (bid,) = to_offers({"offers": [row(**priced)]}, NEED, bids=True)

    assert bid.bid == Bid(Decimal("0.198"))
    disk_usd = bid.price.disk_usd_per_hour
    assert disk_usd > 0
    assert bid.price.usd_per_hour == Decimal("0.198") + disk_usd
    assert bid.id == f"{only(row()).id}, bid"


@pytest.mark.parametrize("floor", [None, Decimal(0)])
def test_without_a_floor_nothing_is_bid(floor: Decimal | None) -> None:
    assert to_offers({"offers": [row(min_bid=floor)]}, NEED, bids=True) == []


def test_the_offer_is_named_by_its_machine_because_asks_are_relisted() -> None:
    before, after = only(row()), only(row(id=9009))

    assert before.id == after.id == "RTX 4090 x1 machine 301"
    assert (before.details["ask"], after.details["ask"]) == ("7001", "9009")


def test_of_several_asks_on_one_machine_the_cheapest_counts() -> None:
    rows = [row(), row(id=7002, dph_base=Decimal("0.30")), row(id=7003, machine_id=302)]

    offers = to_offers({"offers": rows}, NEED)

    assert [offer.details["ask"] for offer in offers] == ["7002", "7003"]


@pytest.mark.parametrize(
    ("told", "region"),
    [
        ("Quebec, CA", "CA-Quebec"),
        ("North Rhine, Westphalia, DE", "DE-NorthRhine-Westphalia"),
        (", US", "US"),
        ("SE", "SE"),
        (None, ""),
        ("somewhere", ""),
    ],
)
def test_a_region_begins_with_its_country(told: str | None, region: str) -> None:
    assert to_region(told) == region


@pytest.mark.parametrize("answer", [{}, {"offers": {}}, [], {"success": True}])
def test_an_answer_without_a_list_is_not_an_empty_market(answer: Any) -> None:
    with pytest.raises(ProviderDown):
        to_offers(answer, NEED)


def test_a_search_sends_raw_units_and_every_default() -> None:
    need = Need(gpu_memory_gib=24, disk_gib=75, compute_capability=8.0, duration_s=36_000)

    query = to_query(need, ("RTX 4090",))

    assert query["gpu_ram"] == {"gte": int(24 * 1024 * 0.93)}  # MB, and a 24 GB card shows 24564
    assert query["disk_space"] == {"gte": GB}
    assert query["allocated_storage"] == GB  # else prices are those of 5 or 8 GB
    assert query["duration"] == {"gte": 36_000}  # seconds, not days
    assert query["compute_cap"] == {"gte": 800}
    assert query["cuda_max_good"] == {"gte": 12.8}
    assert query["gpu_name"] == {"in": ["RTX 4090"]}
    for default in ("rentable", "rented", "external"):
        assert set(query[default]) == {"eq"}
    assert query["type"] == "on-demand"
    assert query["order"][0] == ["dph_total", "asc"]


def test_cuda_is_never_asked_for_without_a_compute_capability() -> None:
    assert "compute_cap" in to_query(Need(cuda="12.8"), ())
    assert "cuda_max_good" not in to_query(Need(cuda=""), ())


def test_a_search_is_widened_only_to_say_what_less_trust_would_give() -> None:
    def asked(trust: str) -> list[tuple[bool, bool]]:
        queries = to_queries(Need(trust=trust), ())
        return [(query["verified"]["eq"], "datacenter" in query) for query in queries]

    assert asked("any") == [(True, False), (False, False)]
    assert asked("verified") == [(True, False), (False, False)]
    assert asked("datacenter") == asked("secure") == [(True, True), (True, False)]


def test_only_countries_are_sent_as_regions() -> None:
    assert to_query(Need(regions_allow=("CA", "US")), ())["geolocation"] == {"in": ["CA", "US"]}
    assert "geolocation" not in to_query(Need(regions_allow=("CA-Quebec", "US")), ())


def test_cards_are_asked_for_by_vasts_own_words_with_spaces() -> None:
    listed = {"gpu_names": ["RTX 4090", "RTX 4090 D", "A100 SXM4", "A100 PCIE", "L4", "L40S", 7]}

    assert to_gpu_words(listed, ("RTX 4090",)) == ("RTX 4090", "RTX 4090 D")
    assert to_gpu_words(listed, ("A100 80GB SXM", "L4")) == ("A100 SXM4", "L4")
    assert to_gpu_words(listed, ("A100",)) == ("A100 SXM4", "A100 PCIE")
    assert to_gpu_words({"error": "x"}, ("L4",)) == ()
