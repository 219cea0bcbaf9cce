from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.errors import (
    BadCredentials,
    InsufficientFunds,
    InvalidRequest,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Recovery,
)
from orchestrator.providers.wrappers import stacked
from tests.contract.bench import A, Bench, best, listed, needs, rent, request


def test_a_machine_carries_its_label_from_the_first_second(bench: Bench) -> None:
    machine = rent(bench)

    assert machine.label == A
    assert bench.rented() == [A]
    assert listed(bench.provider) == [A]
    assert bench.provider.get_machine(machine.id).label == A


def test_a_machine_is_what_was_offered_at_its_price(bench: Bench) -> None:
    offer = best(bench)
    machine = bench.provider.create_machine(request(offer))

    assert (machine.gpu, machine.gpu_count) == (offer.gpu, offer.gpu_count)
    assert machine.usd_per_hour <= offer.price.usd_per_hour
    assert (machine.usd_per_hour > 0) == bench.provider.capabilities.bills


def test_a_price_above_the_offer_shows_in_the_machine(cloud: Bench) -> None:
    needs(cloud, "price_above")
    offer = best(cloud)
    cloud.break_next("price_above")

    machine = cloud.provider.create_machine(request(offer))

    assert machine.usd_per_hour > offer.price.usd_per_hour * Decimal("1.05")
    assert cloud.provider.get_machine(machine.id).usd_per_hour == machine.usd_per_hour


@pytest.mark.parametrize("fault", ["reply_lost", "5xx_after", "unreadable"])
def test_a_lost_reply_is_unknown_and_the_label_finds_the_machine(cloud: Bench, fault: str) -> None:
    needs(cloud, fault)
    offer = best(cloud)
    cloud.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown):
        cloud.provider.create_machine(request(offer))
    assert cloud.rented() == listed(cloud.provider) == [A]


@pytest.mark.parametrize("fault", ["5xx", "html_502"])
def test_trouble_that_may_have_rented_is_unknown_also_when_it_did_not(
    cloud: Bench, fault: str
) -> None:
    needs(cloud, fault)
    offer = best(cloud)
    cloud.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown):
        cloud.provider.create_machine(request(offer))
    assert cloud.rented() == listed(cloud.provider) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("no_capacity", NoCapacity),
        ("rule", InvalidRequest),
        ("insufficient_funds", InsufficientFunds),
        ("forbidden", OfferRefused),
        ("conflict", InvalidRequest),
        ("too_large", InvalidRequest),
        ("unprocessable", InvalidRequest),
        ("wrong_key", BadCredentials),
    ],
)
def test_a_refusal_rents_nothing(cloud: Bench, fault: str, kind: type[ProviderError]) -> None:
    needs(cloud, fault)
    offer = best(cloud)
    cloud.break_next(fault, operation="create")

    with pytest.raises(ProviderError) as caught:
        cloud.provider.create_machine(request(offer))
    assert type(caught.value) is kind
    assert caught.value.recovery in (Recovery.NEXT_OFFER, Recovery.STOP)
    assert cloud.rented() == []


def test_too_many_calls_say_for_how_long_to_wait(cloud: Bench) -> None:
    needs(cloud, "rate_limit")
    offer = best(cloud)
    cloud.break_next("rate_limit", operation="create", seconds=7)

    with pytest.raises(RateLimited) as caught:
        cloud.provider.create_machine(request(offer))
    assert caught.value.retry_after_s >= 7
    if cloud.provider.capabilities.rate_limit_is_proof:
        assert cloud.rented() == []


def test_nothing_sends_a_create_twice(cloud: Bench) -> None:
    needs(cloud, "reply_lost")
    provider = stacked(cloud.provider)
    offer = best(cloud)
    cloud.break_next("reply_lost", operation="create")

    with pytest.raises(OutcomeUnknown):
        provider.create_machine(request(offer))
    assert cloud.rented() == [A]
