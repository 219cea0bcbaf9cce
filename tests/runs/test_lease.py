from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.price import Price
from orchestrator.budget.traffic import Traffic
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import IllegalMove, LeaseState
from tests.runs.samples import NOW_S, lease, offer

spans = st.floats(0, 100_000)


@given(
    create_s=spans,
    asked_s=spans,
    accepted_s=spans,
    gone_s=spans,
    rate=st.decimals("0.01", "40", places=4),
    increment_s=st.sampled_from([1, 60, 3600]),
    proven=st.booleans(),
)
def test_the_upper_figure_is_never_below_the_cost(
    create_s: float,
    asked_s: float,
    accepted_s: float,
    gone_s: float,
    rate: Decimal,
    increment_s: int,
    proven: bool,
) -> None:
    began_s = NOW_S + create_s
    accepted_at_s = began_s + asked_s + accepted_s
    held = lease(
        state=LeaseState.CLOSED if proven else LeaseState.RETURNING,
        usd_per_hour=rate,
        increment_s=increment_s,
        sent_s=NOW_S,
        began_s=began_s,
        delete_asked_s=began_s + asked_s,
        delete_accepted_s=accepted_at_s,
        gone_s=accepted_at_s + gone_s if proven else None,
    )
    now_s = accepted_at_s + gone_s

    assert held.upper_usd(now_s) >= held.cost_usd(now_s)


def test_the_upper_figure_grows_until_the_provider_proves_the_return() -> None:
    asked = lease(
        state=LeaseState.RETURNING, sent_s=NOW_S, began_s=NOW_S, delete_accepted_s=NOW_S + 60
    )
    gone = asked.move(LeaseState.CLOSED, gone_s=NOW_S + 120)

    assert asked.upper_usd(NOW_S + 600) > asked.upper_usd(NOW_S + 300)
    assert asked.cost_usd(NOW_S + 600) == asked.cost_usd(NOW_S + 300)
    assert gone.upper_usd(NOW_S + 600) == gone.upper_usd(NOW_S + 9999) == Decimal("0.02")


def test_a_create_that_may_have_been_sent_counts_before_any_machine_is_known() -> None:
    assert lease().upper_usd(NOW_S + 3600) == 0
    assert lease(sent_s=NOW_S).upper_usd(NOW_S + 3600) == Decimal("0.60")


def test_the_dearer_of_the_offers_and_the_machines_rate_counts() -> None:
    dearer = lease(sent_s=NOW_S, usd_per_hour=Decimal(2))
    cheaper = lease(sent_s=NOW_S, usd_per_hour=Decimal("0.1"))

    assert dearer.upper_usd(NOW_S + 3600) == 2
    assert cheaper.upper_usd(NOW_S + 3600) == offer().price.usd_per_hour


def test_the_cost_follows_the_rate_that_the_provider_named_for_the_machine() -> None:
    cheaper = lease(sent_s=NOW_S, began_s=NOW_S, usd_per_hour=Decimal("0.59"))
    unknown = lease(sent_s=NOW_S, began_s=NOW_S, usd_per_hour=Decimal(0))

    assert cheaper.cost_usd(NOW_S + 36_000) == Decimal("5.90")
    assert unknown.cost_usd(NOW_S + 36_000) == Decimal("6.00")


def test_the_providers_bill_lowers_the_upper_figure_and_never_raises_it() -> None:
    gone = lease(state=LeaseState.CLOSED, sent_s=NOW_S, gone_s=NOW_S + 3600)

    assert replace(gone, bound_usd=Decimal("0.20")).upper_usd(NOW_S) == Decimal("0.20")
    assert replace(gone, bound_usd=Decimal(9)).upper_usd(NOW_S) == Decimal("0.60")


def test_the_providers_bill_is_the_cost() -> None:
    billed = lease(sent_s=NOW_S, began_s=NOW_S, billed_usd=Decimal("0.33"))

    assert billed.cost_usd(NOW_S + 3600) == Decimal("0.33")


def test_billing_ends_when_the_provider_said_so_first() -> None:
    lost = lease(sent_s=NOW_S, began_s=NOW_S, unknown_s=NOW_S + 600, delete_accepted_s=NOW_S + 1200)

    assert lost.cost_usd(NOW_S + 7200) == Price(Decimal("0.60")).for_seconds(600)


@pytest.mark.parametrize(
    "free", [lease(sent_s=NOW_S, bills=False), lease(sent_s=NOW_S, state=LeaseState.TOMBSTONE)]
)
def test_what_no_one_bills_costs_nothing(free: Lease) -> None:
    assert free.upper_usd(NOW_S + 3600) == free.cost_usd(NOW_S + 3600) == 0


def test_money_is_abandoned_only_without_work() -> None:
    idle = lease(sent_s=NOW_S)

    assert idle.abandoned_usd(NOW_S + 3600) == Decimal("0.60")
    assert replace(idle, did_work=True).abandoned_usd(NOW_S + 3600) == 0


def test_a_held_machine_cannot_be_closed_without_its_return() -> None:
    held = lease().move(LeaseState.HELD, machine_id="m1")

    assert held.is_open
    assert held.has_machine
    with pytest.raises(IllegalMove):
        held.move(LeaseState.CLOSED)


@pytest.mark.parametrize("state", LeaseState)
def test_a_lease_is_open_while_a_machine_may_bill(state: LeaseState) -> None:
    over = (LeaseState.CLOSED, LeaseState.TOMBSTONE, LeaseState.HANDED)

    assert lease(state=state).is_open is (state not in over)


def test_only_what_nobody_bills_is_ever_given_up_on_its_way_back() -> None:
    returning = lease(state=LeaseState.RETURNING)

    assert replace(returning, bills=False).move(LeaseState.TOMBSTONE).state is LeaseState.TOMBSTONE
    with pytest.raises(IllegalMove):
        returning.move(LeaseState.TOMBSTONE)
    with pytest.raises(IllegalMove):
        lease(state=LeaseState.HELD, bills=False).move(LeaseState.TOMBSTONE)


TRAFFIC = Traffic(image_bytes=2**30, receives_bytes=2**30, sends_bytes=2**30)
MARKET = replace(offer(), price=Price(Decimal("0.60"), Decimal("0.02"), Decimal("0.01")))


def test_before_it_runs_a_machine_costs_its_disk_where_billing_starts_then() -> None:
    booting = lease(
        state=LeaseState.HELD,
        sent_s=NOW_S,
        began_s=NOW_S,
        usd_per_hour=Decimal("0.60"),
        idle_usd_per_hour=Decimal("0.06"),
    )

    assert booting.cost_usd(NOW_S + 600) == Decimal("0.01")
    running = replace(booting, ran_s=NOW_S + 600)
    assert running.cost_usd(NOW_S + 1200) == Decimal("0.01") + Decimal("0.10")
    assert running.upper_usd(NOW_S + 1200) == Decimal("0.20")  # the whole rate from the create
    ended = replace(booting, delete_accepted_s=NOW_S + 300, ran_s=NOW_S + 600)
    assert ended.cost_usd(NOW_S + 1200) == Decimal("0.005")


def test_traffic_counts_as_planned_and_above_it_as_the_machine_says() -> None:
    held = lease(state=LeaseState.HELD, sent_s=NOW_S, began_s=NOW_S, offer=MARKET, traffic=TRAFFIC)
    worked = replace(held, did_work=True)

    assert held.upper_usd(NOW_S) == Decimal("0.01")  # at most its image was pulled
    assert worked.upper_usd(NOW_S) == Decimal("0.04")
    heard = replace(worked, traffic=TRAFFIC.heard(11 * 2**30, 0, lived_s=86_400))
    assert heard.upper_usd(NOW_S) == Decimal("0.14")
    assert heard.cost_usd(NOW_S) == Decimal("0.11")


def test_nothing_was_transferred_where_nothing_was_rented() -> None:
    assert lease(offer=MARKET, traffic=TRAFFIC).upper_usd(NOW_S) == 0
    tombstone = lease(
        state=LeaseState.TOMBSTONE, sent_s=NOW_S, offer=MARKET, traffic=TRAFFIC, did_work=True
    )
    assert tombstone.upper_usd(NOW_S) == 0


def test_a_machine_that_was_taken_away_costs_its_disk_alone_from_then_on() -> None:
    price = Price(Decimal("0.61"), disk_usd_per_hour=Decimal("0.01"))
    taken = lease(
        state=LeaseState.CLOSED,
        offer=replace(offer(), price=price),
        usd_per_hour=Decimal("0.61"),
        sent_s=NOW_S,
        began_s=NOW_S,
        reclaimed_s=NOW_S + 3600,
        delete_accepted_s=NOW_S + 7200,
        gone_s=NOW_S + 7200,
    )

    assert taken.cost_usd(NOW_S + 9000) == Decimal("0.62")
    assert taken.upper_usd(NOW_S + 9000) == Decimal("1.22")
    assert replace(taken, delete_accepted_s=None, gone_s=None).cost_usd(NOW_S + 1800) < 1
