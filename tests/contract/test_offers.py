from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.offers.offer import TRUST_ORDER
from tests.contract.bench import Bench, needs


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


def test_offers_that_cannot_be_had_now_are_an_error_and_not_none(cloud: Bench) -> None:
    needs(cloud, "html_502")
    cloud.break_next("html_502", operation="catalog")

    with pytest.raises(ProviderDown):
        cloud.provider.list_offers(cloud.need)


def test_a_catalog_at_odds_with_itself_hides_no_stock_and_invents_no_card(cloud: Bench) -> None:
    needs(cloud, "odd_catalog")
    before = {offer.id: offer.stock for offer in cloud.provider.list_offers(cloud.need)}
    cloud.break_next("odd_catalog")

    after = {offer.id: offer.stock for offer in cloud.provider.list_offers(cloud.need)}

    assert after == before
