from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import in_regions, select
from orchestrator.spec.resources import Need

RTX_4090 = Offer(
    id="4090",
    provider="cloud",
    gpu="RTX 4090",
    gpu_count=1,
    gpu_memory_gib=24,
    price=Price(Decimal("0.69")),
    trust="secure",
    stock="high",
    cuda="12.9",
    ram_gib=60,
)
COMPUTER = replace(
    RTX_4090, id="cpu", gpu="", gpu_count=0, gpu_memory_gib=0, price=Price(Decimal(0)), cuda=""
)


def by_rate(offer: Offer) -> Decimal:
    return offer.price.usd_per_hour


def at(usd: str, offer: Offer = RTX_4090, **changes: object) -> Offer:
    return replace(offer, id=usd, price=Price(Decimal(usd)), **changes)  # type: ignore[arg-type]


def reason(need: Need, offer: Offer) -> str:
    """Why one offer is refused, "" when it is not."""
    return next((why for _, why in select(need, [offer], by_rate).refused), "")


def test_an_offer_that_has_all_is_a_candidate() -> None:
    need = Need(
        gpu_memory_gib=24,
        gpu_names=("rtx 4090",),
        ram_gib=32,
        compute_capability=8.9,
        cuda="12.8",
        trust="secure",
    )
    selection = select(need, [RTX_4090], by_rate)

    assert selection.candidates == [RTX_4090]
    assert (selection.refused, selection.relaxation) == ([], "")


@pytest.mark.parametrize(
    ("need", "offer", "why"),
    [
        (Need(gpu_memory_gib=40), RTX_4090, "24 GiB per GPU, 40 needed"),
        (Need(gpu_names=("A100", "L4")), RTX_4090, "RTX 4090 is not A100, L4"),
        (Need(gpu_count=2), RTX_4090, "1 GPUs, 2 needed"),
        (Need(trust="secure"), replace(RTX_4090, trust="verified"), "trust is verified, secure"),
        (Need(cuda="13.0"), RTX_4090, "driver has CUDA 12.9, 13.0 needed"),
        (Need(compute_capability=9.0), RTX_4090, "compute capability 8.9, 9.0 needed"),
        (
            Need(compute_capability=8.0),
            replace(RTX_4090, gpu="Zx 1"),
            "the compute capability of Zx 1 is not known",
        ),
        (Need(), replace(RTX_4090, gpu="MI300X"), "MI300X has no CUDA"),
        (Need(), replace(RTX_4090, architecture="arm64"), "the host is arm64, x86_64 needed"),
        (Need(ram_gib=64), RTX_4090, "60 GiB of RAM, 64 needed"),
        (
            Need(regions_allow=("EU",)),
            replace(RTX_4090, region="US-KS-2"),
            "US-KS-2 is not among the regions",
        ),
        (Need(regions_deny=("US",)), RTX_4090, "a region that is not told"),
        (Need(), COMPUTER, "it has no GPU"),
    ],
)
def test_a_refused_offer_has_its_reason(need: Need, offer: Offer, why: str) -> None:
    assert why in reason(need, offer)


def test_every_reason_of_an_offer_is_told() -> None:
    need = Need(gpu_memory_gib=40, gpu_count=2)

    assert reason(need, RTX_4090) == "24 GiB per GPU, 40 needed; 1 GPUs, 2 needed"


@pytest.mark.parametrize(
    "offer",
    [
        replace(RTX_4090, cuda=""),
        replace(RTX_4090, ram_gib=None),
        replace(RTX_4090, gpu="Zx 1", compute_capability=9.0),
    ],
)
def test_what_is_not_told_of_a_host_refuses_nothing(offer: Offer) -> None:
    assert reason(Need(ram_gib=32, compute_capability=8.0), offer) == ""


def test_cuda_versions_are_compared_as_numbers() -> None:
    assert reason(Need(cuda="12.2"), replace(RTX_4090, cuda="12.11")) == ""


def test_a_computer_without_a_gpu_will_do_when_the_job_says_so() -> None:
    need = Need(allow_cpu=True, gpu_memory_gib=24, gpu_count=1, compute_capability=8.0)

    assert select(need, [COMPUTER], by_rate).candidates == [COMPUTER]


def test_the_whole_runs_cost_ranks_and_not_the_rate() -> None:
    slow, fast = at("0.30", stock="high"), at("0.90", stock="low")
    run_usd = {"0.30": Decimal("0.60"), "0.90": Decimal("0.45")}

    selection = select(Need(), [slow, fast], lambda offer: run_usd[offer.id])

    assert selection.candidates == [fast, slow]


def test_stock_breaks_ties_and_refuses_nothing() -> None:
    offers = [replace(RTX_4090, id=stock, stock=stock) for stock in ("none", "", "low", "high")]

    selection = select(Need(), offers, by_rate)

    assert [offer.stock for offer in selection.candidates] == ["high", "low", "", "none"]


def test_a_free_gpu_goes_before_no_gpu() -> None:
    gpu = at("0")

    assert select(Need(allow_cpu=True), [COMPUTER, gpu], by_rate).candidates == [gpu, COMPUTER]


def test_the_cost_is_asked_only_of_offers_that_fit() -> None:
    def never(offer: Offer) -> Decimal:
        raise AssertionError(offer.id)

    assert select(Need(gpu_memory_gib=40), [RTX_4090], never).candidates == []


def test_the_relaxation_is_the_fewest_concessions_then_the_cheapest() -> None:
    community = at("0.34", trust="verified")
    dear = at("0.90", trust="verified")
    small_too = at("0.10", trust="verified", gpu_memory_gib=16.0)

    selection = select(
        Need(trust="secure", gpu_memory_gib=24), [dear, small_too, community], by_rate
    )

    expected = "`trust: verified` would allow RTX 4090 on cloud at $0.34/h"
    assert selection.relaxation == expected


def test_what_no_concession_cures_is_not_offered_as_one() -> None:
    assert select(Need(cuda="12.8"), [replace(RTX_4090, gpu="MI300X")], by_rate).relaxation == ""


def test_nothing_offered_gives_nothing() -> None:
    selection = select(Need(), [], by_rate)

    assert (selection.candidates, selection.refused, selection.relaxation) == ([], [], "")


@pytest.mark.parametrize(
    ("region", "allow", "deny", "expected"),
    [
        ("", (), (), True),
        ("", ("EU",), (), False),
        ("EU-RO-1", ("eu",), (), True),
        ("EU-RO-1", ("EU-RO",), (), True),
        ("EU-RO-1", ("EU-RO-1",), (), True),
        ("EU-RO-1", ("EU-RO-11",), (), False),
        ("EUR-IS-1", ("EU",), (), False),
        ("EU-RO-1", ("EU",), ("EU-RO",), False),
        ("EU-RO-1,EU-SE-1", ("EU",), (), True),
        ("EU-RO-1,US-KS-2", ("EU",), (), False),
    ],
)
def test_a_region_is_its_name_or_a_longer_one(
    region: str, allow: tuple[str, ...], deny: tuple[str, ...], expected: bool
) -> None:
    assert in_regions(region, allow, deny) is expected


offers = st.builds(
    replace,
    st.just(RTX_4090),
    id=st.uuids().map(str),
    gpu=st.sampled_from(["RTX 4090", "A100 80GB SXM", "MI300X", "Zx 1"]),
    gpu_count=st.integers(0, 4),
    gpu_memory_gib=st.sampled_from([16.0, 24.0, 80.0]),
    trust=st.sampled_from(["any", "verified", "datacenter", "secure"]),
    region=st.sampled_from(["", "EU-RO-1", "US-KS-2"]),
    stock=st.sampled_from(["", "none", "low", "weird"]),
    price=st.decimals(0, 50, places=2).map(Price),
)
needs = st.builds(
    Need,
    gpu_memory_gib=st.sampled_from([0.0, 24.0, 40.0]),
    gpu_count=st.integers(1, 4),
    allow_cpu=st.booleans(),
    trust=st.sampled_from(["any", "verified", "secure"]),
    regions_allow=st.sampled_from([(), ("EU",)]),
)


@given(needs, st.lists(offers, max_size=8, unique_by=lambda offer: offer.id))
def test_every_offer_is_a_candidate_or_refused_and_the_cheapest_is_first(
    need: Need, found: list[Offer]
) -> None:
    selection = select(need, found, by_rate)
    costs = [by_rate(offer) for offer in selection.candidates]

    assert costs == sorted(costs)
    told = selection.candidates + [offer for offer, _ in selection.refused]
    assert sorted(offer.id for offer in told) == sorted(offer.id for offer in found)
    assert all(why for _, why in selection.refused)
    assert not (selection.candidates and selection.relaxation)


@given(needs, st.lists(offers, max_size=8, unique_by=lambda offer: offer.id))
def test_the_order_of_the_offers_does_not_matter(need: Need, found: list[Offer]) -> None:
    shuffled = sorted(found, key=lambda offer: offer.id[::-1])

    assert select(need, shuffled, by_rate).candidates == select(need, found, by_rate).candidates


def test_where_secrets_raised_the_trust_the_remedy_is_to_allow_them() -> None:
    need = Need(trust="datacenter", has_secrets=True)

    selection = select(need, [at("0.34", trust="verified")], by_rate)

    assert selection.relaxation.startswith("`allow_untrusted_secrets: true` would allow")


def test_a_host_without_the_disk_or_the_time_is_refused_with_its_reason() -> None:
    need = Need(trust="verified", disk_gib=100, duration_s=8 * 3600)

    assert "80 GiB of disk, 100 needed" in reason(need, replace(RTX_4090, disk_gib=80.0))
    short = replace(RTX_4090, available_s=5 * 3600.0)
    assert "its host lets it for 5.0 h, 8.0 may be needed" in reason(need, short)
    assert select(need, [short], by_rate).relaxation.startswith("a shorter `budget.max_duration`")
    assert select(need, [replace(RTX_4090, disk_gib=100.0, available_s=9e9)], by_rate).candidates
