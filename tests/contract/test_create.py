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
from tests.contract.bench import A, Bench, best, listed, rent, request
from tests.contract.benches import broken_as, broken_by


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


@broken_by("price_above")
def test_a_price_above_the_offer_shows_in_the_machine(bench: Bench, fault: str) -> None:
    offer = best(bench)
    bench.break_next(fault)

    machine = bench.provider.create_machine(request(offer))

    assert machine.usd_per_hour > offer.price.usd_per_hour * Decimal("1.05")
    assert bench.provider.get_machine(machine.id).usd_per_hour == machine.usd_per_hour


@broken_by("reply_lost", "5xx_after", "unreadable")
def test_a_lost_reply_is_unknown_and_the_label_finds_the_machine(bench: Bench, fault: str) -> None:
    offer = best(bench)
    bench.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown):
        bench.provider.create_machine(request(offer))
    assert bench.rented() == listed(bench.provider) == [A]


@broken_by("5xx", "html_502", "unreached")
def test_trouble_that_may_have_rented_is_unknown_also_when_it_did_not(
    bench: Bench, fault: str
) -> None:
    """Where nobody ever waits for a machine to show, it is known at once that there is none."""
    offer = best(bench)
    bench.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown if bench.provider.capabilities.settle_s else NoCapacity):
        bench.provider.create_machine(request(offer))
    assert bench.rented() == listed(bench.provider) == []


@broken_as(
    {
        "no_capacity": NoCapacity,
        "rule": InvalidRequest,
        "insufficient_funds": InsufficientFunds,
        "forbidden": OfferRefused,
        "conflict": InvalidRequest,
        "too_large": InvalidRequest,
        "unprocessable": InvalidRequest,
        "wrong_key": BadCredentials,
    }
)
def test_a_refusal_rents_nothing(bench: Bench, fault: str, kind: type[ProviderError]) -> None:
    offer = best(bench)
    bench.break_next(fault, operation="create")

    with pytest.raises(ProviderError) as caught:
        bench.provider.create_machine(request(offer))
    assert type(caught.value) is kind
    assert caught.value.recovery in (Recovery.NEXT_OFFER, Recovery.STOP)
    assert bench.rented() == []


@broken_by("rate_limit")
def test_too_many_calls_say_for_how_long_to_wait(bench: Bench, fault: str) -> None:
    offer = best(bench)
    bench.break_next(fault, operation="create", seconds=7)

    with pytest.raises(RateLimited) as caught:
        bench.provider.create_machine(request(offer))
    assert caught.value.retry_after_s >= 7
    if bench.provider.capabilities.rate_limit_is_proof:
        assert bench.rented() == []


@broken_by("reply_lost")
def test_nothing_sends_a_create_twice(bench: Bench, fault: str) -> None:
    provider = stacked(bench.provider)
    offer = best(bench)
    bench.break_next(fault, operation="create")

    with pytest.raises(OutcomeUnknown):
        provider.create_machine(request(offer))
    assert bench.rented() == [A]
