"""The client against the simulated market, with what goes wrong on Vast.ai alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    RentedAnyway,
)
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Account, Machine, MachineStatus, SshAddress
from tests.contract.bench import A, B, Bench, best, listed, rent, request
from tests.contract.vast_bench import VastBench


@pytest.fixture
def market(tmp_path: Path) -> Iterator[VastBench]:
    with VastBench(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("fault", ["no_id", "html_200", "unreadable", "5xx_after"])
def test_a_create_that_rented_without_a_plain_yes_is_found_by_its_label(
    market: Bench, fault: str
) -> None:
    offer = best(market)
    market.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown):
        market.provider.create_machine(request(offer))
    assert listed(market.provider) == market.rented() == [A]


@pytest.mark.parametrize("shape", ["400", "404", "410", "200", "409"])
def test_a_gone_offer_is_known_in_every_shape(market: Bench, shape: str) -> None:
    offer = best(market)
    market.break_next("no_capacity", shape=shape)

    with pytest.raises(ProviderError) as caught:
        market.provider.create_machine(request(offer))
    assert caught.value.code == "no_capacity"
    assert market.rented() == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("spend_rate_limit", QuotaExceeded),
        ("offer_not_own", OfferRefused),
        ("server_error", OutcomeUnknown),
    ],
)
def test_a_create_that_rented_nothing_says_what_it_means(
    market: Bench, fault: str, kind: type[ProviderError]
) -> None:
    offer = best(market)
    market.break_next(fault)

    with pytest.raises(kind):
        market.provider.create_machine(request(offer))
    assert market.rented() == []


def test_a_phantom_is_never_shown_and_by_its_id_not_found(market: Bench) -> None:
    offer = best(market)
    market.break_next("phantom")

    machine = market.provider.create_machine(request(offer))

    assert listed(market.provider) == []
    with pytest.raises(MachineNotFound):
        market.provider.get_machine(machine.id)


@pytest.mark.parametrize("fault", ["tfa", "session_ended"])
@pytest.mark.parametrize("operation", ["get", "list", "delete", "catalog"])
def test_a_login_that_is_missing_never_says_gone(market: Bench, fault: str, operation: str) -> None:
    machine = rent(market)
    market.break_next(fault, operation=operation)
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: market.provider.get_machine(machine.id),
        "list": market.provider.list_machines,
        "delete": lambda: market.provider.delete_machine(machine.id),
        "catalog": lambda: market.provider.list_offers(market.need),
    }

    with pytest.raises(BadCredentials):
        calls[operation]()
    assert market.rented() == [A]


@pytest.mark.parametrize("fault", ["success_false", "empty_object"])
@pytest.mark.parametrize("operation", ["get", "list", "catalog"])
def test_a_hollow_answer_is_no_answer(market: Bench, fault: str, operation: str) -> None:
    machine = rent(market)
    market.break_next(fault, operation=operation)
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: market.provider.get_machine(machine.id),
        "list": market.provider.list_machines,
        "catalog": lambda: market.provider.list_offers(market.need),
    }

    with pytest.raises(ProviderDown):
        calls[operation]()


def test_a_list_that_turns_in_circles_is_an_error_and_an_empty_page_is_not(
    market: Bench,
) -> None:
    rent(market)
    rent(market, B)
    market.break_next("small_pages")
    market.break_next("token_repeats", times=2)

    with pytest.raises(ProviderDown):
        market.provider.list_machines()
    market.break_next("empty_page")
    assert listed(market.provider) == [A, B]


def test_the_quota_of_searches_is_not_asked_again_today(market: Bench) -> None:
    market.break_next("search_quota")

    with pytest.raises(RateLimited) as caught:
        market.provider.list_offers(market.need)
    assert caught.value.retry_after_s > 60


def test_a_destroy_that_is_refused_in_a_good_status_is_an_error(market: Bench) -> None:
    machine = rent(market)
    market.break_next("delete_refused")

    with pytest.raises(ProviderDown):
        market.provider.delete_machine(machine.id)
    assert market.rented() == [A]


@pytest.mark.parametrize(
    ("fault", "seconds", "status"),
    [
        ("oci_error", 60, MachineStatus.FAILED),
        ("image_error", 60, MachineStatus.FAILED),
        ("odd_status", 1.2, MachineStatus.BOOTING),
        ("boot_stuck", 600, MachineStatus.BOOTING),
        ("starting_stuck", 600, MachineStatus.BOOTING),
        ("vanishes", 120, MachineStatus.OUT_OF_TOUCH),
        ("outbid", 120, MachineStatus.STOPPED),
        ("expires", 120, MachineStatus.STOPPED),
    ],
)
def test_what_a_machine_says_of_itself_is_understood(
    market: Bench, fault: str, seconds: float, status: MachineStatus
) -> None:
    market.break_next(fault)
    rent(market)
    for _ in range(3):
        market.wait(seconds / 3)

    (machine,) = market.provider.list_machines()
    assert machine.status is status


@pytest.mark.parametrize("fault", ["ports_list_only", "untidy_address", "ports_missing"])
def test_an_address_is_found_where_there_is_one(market: Bench, fault: str) -> None:
    market.break_next(fault)
    rent(market)
    for _ in range(4):
        market.wait(40)

    (machine,) = market.provider.list_machines()
    assert isinstance(machine.address, SshAddress)
    assert machine.status is MachineStatus.RUNNING


def test_a_smaller_disk_than_asked_for_shows(market: Bench) -> None:
    market.break_next("disk_smaller")

    machine = rent(market)

    assert machine.disk_gib is not None
    assert machine.disk_gib < request(best(market)).disk_gib * 0.6


@pytest.mark.parametrize(("fault", "known"), [("balance_only", True), ("balance_unknown", False)])
def test_what_is_left_is_read_or_unknown(market: Bench, fault: str, known: bool) -> None:
    market.break_next(fault, operation="account")

    assert isinstance(market.provider, Account)
    balance = market.provider.balance_usd()

    assert (balance is not None and balance > 0) == known
    assert balance != Decimal(0)


def bids(market: Bench) -> list[Offer]:
    """What may be bid for, the cheapest first."""
    offers = market.provider.list_offers(replace(market.need, spot=True))
    return [offer for offer in offers if offer.spot]


def rent_bid(market: Bench, label: str = A) -> Machine:
    offer = bids(market)[0]
    assert offer.bid is not None
    asked = replace(request(offer, label), bid_usd_per_hour=offer.bid.usd_per_hour)
    return market.provider.create_machine(asked)


def test_what_may_be_bid_for_is_offered_beside_what_is_on_demand_and_costs_less(
    market: Bench,
) -> None:
    on_demand = {offer.details["ask"]: offer for offer in market.provider.list_offers(market.need)}

    offered = bids(market)

    assert offered
    for offer in offered:
        usd = on_demand[offer.details["ask"]].price.usd_per_hour
        assert offer.price.disk_usd_per_hour < offer.price.usd_per_hour < usd


def test_what_was_bid_for_bills_the_bid_and_the_disk(market: Bench) -> None:
    offer = bids(market)[0]

    machine = rent_bid(market)

    assert machine.spot
    assert machine.usd_per_hour == pytest.approx(offer.price.usd_per_hour, abs=Decimal("0.000002"))
    market.wait(60)
    assert listed(market.provider) == [A]


def test_an_offer_to_bid_for_is_never_rented_on_demand(market: Bench) -> None:
    with pytest.raises(InvalidRequest, match="a bid needs an offer for bids"):
        market.provider.create_machine(request(bids(market)[0]))
    assert market.rented() == []


def test_a_bid_that_loses_at_once_leaves_nothing_that_nobody_knows(market: Bench) -> None:
    market.break_next("low_bid", operation="create")

    with pytest.raises(RentedAnyway) as caught:
        rent_bid(market)
    (left,) = market.provider.list_machines()
    # It never ran: whether its contract is over, or about to begin, only time tells.
    assert (left.id, left.spot) == (caught.value.machine_id, True)
    assert left.status is not MachineStatus.RUNNING
    market.provider.delete_machine(left.id)
    assert market.rented() == []


def test_a_reclaimed_machine_is_stopped_and_bills_its_disk_until_it_is_deleted(
    market: VastBench,
) -> None:
    machine = rent_bid(market)
    market.wait(3600)

    market.reclaim(machine.id)
    (stopped,) = market.provider.list_machines()
    billed_usd = market.billed_usd(machine.id)
    market.wait(3600)
    disk_usd = market.billed_usd(machine.id) - billed_usd

    assert (stopped.status, stopped.spot) == (MachineStatus.STOPPED, True)
    assert Decimal(0) < disk_usd < machine.usd_per_hour / 10
    market.provider.delete_machine(machine.id)
    market.wait(3600)
    assert market.billed_usd(machine.id) == billed_usd + disk_usd
    assert market.rented() == []


def test_no_offer_and_no_machine_of_ours_is_a_bid_unless_it_was_asked_for(market: Bench) -> None:
    offers = market.provider.list_offers(market.need)
    machine = rent(market)

    assert not any(offer.spot for offer in offers)
    assert not machine.spot
    assert {offer.trust for offer in offers} <= {"verified", "datacenter"}
