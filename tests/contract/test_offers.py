from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.offers.offer import TRUST_ORDER
from tests.contract.bench import Bench
from tests.contract.benches import broken_by


def test_an_offer_says_all_that_ranking_needs(bench: Bench) -> None:
    offers = bench.provider.list_offers(bench.need)

    assert offers
    assert len({offer.id for offer in offers}) == len(offers)
    for offer in offers:
        assert offer.provider == bench.provider.name
        assert offer.trust in TRUST_ORDER
        assert (offer.price.usd_per_hour > 0) == bench.provider.capabilities.bills
        assert bool(offer.gpu) == bool(offer.gpu_count) == bool(offer.gpu_memory_gib)


def test_only_who_can_has_offers_to_bid_for_and_only_where_they_are_wanted(bench: Bench) -> None:
    capabilities = bench.provider.capabilities

    assert not any(offer.spot for offer in bench.provider.list_offers(bench.need))
    wanted = bench.provider.list_offers(replace(bench.need, spot=True))

    assert any(offer.spot for offer in wanted) == capabilities.spot
    assert any(not offer.spot for offer in wanted)


def test_a_listing_rents_nothing(bench: Bench) -> None:
    bench.provider.list_offers(bench.need)

    assert bench.rented() == []


@broken_by("small_pages")
def test_offers_are_the_same_whatever_the_size_of_a_page(bench: Bench, fault: str) -> None:
    before = bench.provider.list_offers(bench.need)
    bench.break_next(fault)

    assert bench.provider.list_offers(bench.need) == before


@broken_by("unreached", "5xx", "5xx_after", "reply_lost", "unreadable", "html_502")
def test_offers_that_cannot_be_had_whole_now_are_an_error_and_not_none(
    bench: Bench, fault: str
) -> None:
    bench.break_next(fault, operation="catalog")

    with pytest.raises(ProviderDown):
        bench.provider.list_offers(bench.need)
    assert bench.provider.list_offers(bench.need)


@broken_by("odd_catalog")
def test_a_catalog_at_odds_with_itself_hides_no_stock_and_invents_no_card(
    bench: Bench, fault: str
) -> None:
    before = {offer.id: offer.stock for offer in bench.provider.list_offers(bench.need)}
    bench.break_next(fault)

    after = {offer.id: offer.stock for offer in bench.provider.list_offers(bench.need)}

    assert after == before
