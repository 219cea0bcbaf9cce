from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.errors import BudgetRefused, MissingCredentials
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.deadlines import MAX_CREATED, REAPED_S
from orchestrator.lifecycle.leasing import (
    abandon,
    cancelled,
    finish,
    let_go,
    lost_label,
    new_lease,
    next_offer,
    nothing_rented,
    to_failure,
    with_stray,
)
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import TOMBSTONE_WATCH_S, Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.clouds import machine
from tests.lifecycle.worlds import Described, quiet_world
from tests.runs.samples import NOW_S, RUN_ID, candidate, launch, lease, offer, run

CAPABILITIES = Capabilities(guard=GuardWay.START_COMMAND, billing_increment_s=60)


def renting(**changes: object) -> Run:
    """A run whose first offer is being rented."""
    made = run(state=State.RENTING, leases=(lease(),))
    return replace(made, **changes)  # type: ignore[arg-type]


def failed(run: Run) -> tuple[Outcome | None, str]:
    return run.outcome, run.failure.problem if run.failure else ""


def idle_machines(count: int) -> tuple[Lease, ...]:
    """Machines that came up, did nothing and are gone; they cost a cent each."""
    return tuple(
        lease(
            f"label-{number}",
            state=LeaseState.CLOSED,
            machine_id=f"m{number}",
            sent_s=NOW_S - 60,
            gone_s=NOW_S,
        )
        for number in range(count)
    )


def fresh_lease(*, cap_usd: str = "5", spent_usd: str = "0", guard: str = "") -> Lease:
    return new_lease(
        home_id="homeid",
        run_id=RUN_ID,
        n=2,
        candidate=replace(candidate(offer()), guard=guard),
        account="user:u1",
        capabilities=CAPABILITIES,
        launch=launch(),
        cap_usd=Decimal(cap_usd),
        max_duration_s=3600,
        spent_usd=Decimal(spent_usd),
        now_s=NOW_S + 0.5,
    )


def test_a_new_lease_carries_its_deadline_in_its_label() -> None:
    made = fresh_lease()

    label = parse_label(made.label)
    assert label is not None
    assert (label.home, label.run, label.n) == ("homeid", RUN_ID, 2)
    assert (label.created_s, label.deadline_s) == (int(NOW_S), made.deadline_s)
    assert made.stop_s < made.deadline_s
    assert (made.state, made.increment_s) == (LeaseState.INTENDED, 60)


def test_a_machine_that_only_a_reaper_ends_has_its_lateness_reserved() -> None:
    guarded, watched = (fresh_lease(cap_usd="0.8", guard=one) for one in ("plausible", "watched"))

    assert guarded.deadline_s > watched.deadline_s
    assert watched.deadline_s + REAPED_S <= guarded.deadline_s + 60


@pytest.mark.parametrize("cap_usd", ["1", "5", "500"])
def test_no_lease_has_a_later_deadline_than_its_label(cap_usd: str) -> None:
    """Nor has a second machine under it; of a next run on a kept one `test_reusing.py` tells."""
    made = fresh_lease(cap_usd=cap_usd).move(LeaseState.HELD, machine_id="m1", sent_s=NOW_S)
    holder = run(state=State.BOOTING, leases=(made,))

    found = with_stray(holder, made, machine("m2", made.label), "user:u1", "a second one")

    assert len(found.leases) == 2
    for one in found.leases:
        assert one.deadline_s == one.latest_s


def test_less_money_brings_the_deadline_nearer_until_it_is_refused() -> None:
    assert fresh_lease(cap_usd="1", spent_usd="0.2").deadline_s < fresh_lease().deadline_s
    with pytest.raises(BudgetRefused):
        fresh_lease(cap_usd="1", spent_usd="0.9")


def test_a_label_that_made_no_machine_is_a_tombstone_that_costs_nothing() -> None:
    sent = lease(sent_s=NOW_S)

    assert nothing_rented(sent, "sold out").upper_usd(NOW_S + 3600) == 0
    lost = lost_label(sent, NOW_S, 15.0, ends_itself=True)
    assert (lost.state, lost.watch_until_s) == (LeaseState.TOMBSTONE, NOW_S + TOMBSTONE_WATCH_S)


@pytest.mark.parametrize(
    ("later_s", "unseen_s", "usd"),
    [(180, 15, "0.0025"), (10, 15, "0.001667"), (8 * 3600, 8 * 3600, "0.30")],
)
def test_a_lost_label_counts_for_as_long_as_a_machine_can_live_unseen(
    later_s: float, unseen_s: float, usd: str
) -> None:
    sent = lease(sent_s=NOW_S)

    lost = lost_label(sent, NOW_S + later_s, unseen_s, ends_itself=True)
    assert lost.upper_usd(0) == Decimal(usd)


def test_a_lost_label_without_a_guard_counts_until_its_deadline() -> None:
    sent = lease(sent_s=NOW_S, deadline_s=NOW_S + 3600)

    lost = lost_label(sent, NOW_S + 8 * 3600, 8 * 3600.0, ends_itself=False)
    assert lost.upper_usd(0) == Decimal("0.60")


def test_letting_go_returns_what_is_held_and_keeps_the_first_reason() -> None:
    leases = (
        lease("a", state=LeaseState.HELD),
        lease("b", state=LeaseState.HELD, why_ended="no login"),
        lease("c", state=LeaseState.CLOSED, why_ended="done"),
    )

    gone = let_go(run(leases=leases), "cancelled").leases

    assert [(one.state, one.why_ended) for one in gone] == [
        (LeaseState.RETURNING, "cancelled"),
        (LeaseState.RETURNING, "no login"),
        (LeaseState.CLOSED, "done"),
    ]


def test_a_run_ends_at_once_only_without_a_machine() -> None:
    held = run(state=State.RUNNING, leases=(lease(state=LeaseState.HELD),))

    returning = finish(held, quiet_world(), Outcome.CAPPED, None, "the cap").run
    ended = finish(run(), quiet_world(), Outcome.EXPIRED, None, "too old").run

    assert (returning.state, returning.outcome) == (State.RETURNING, Outcome.CAPPED)
    assert (ended.state, ended.outcome, ended.ended_s) == (State.ENDED, Outcome.EXPIRED, NOW_S)


def test_the_first_reason_of_an_end_stands() -> None:
    first = run(outcome=Outcome.CAPPED)

    assert finish(first, quiet_world(), Outcome.FAILED, None, "later").run.outcome is Outcome.CAPPED
    assert cancelled(run(), quiet_world()).run.outcome is Outcome.CANCELLED


def test_the_next_offer_comes_under_a_new_label() -> None:
    sold_out = renting(leases=(nothing_rented(lease(), "sold out"),))

    moved = next_offer(sold_out, quiet_world(), "sold out", after_s=2)

    assert (moved.run.state, moved.run.next_candidate, moved.after_s) == (State.PLANNED, 2, 2)
    new = moved.run.lease
    assert new is not None
    assert (new.offer.id, new.state) == ("RTX 4090 x2", LeaseState.INTENDED)
    assert new.label != "label-0"
    assert moved.events == ("sold out; next: RTX 4090 x2 on runpod",)


def test_the_same_offer_may_be_tried_under_a_new_label() -> None:
    lost = renting(leases=(lost_label(lease(), NOW_S, 0.0, ends_itself=True),))

    moved = next_offer(lost, quiet_world(), "lost", same=True).run

    assert moved.next_candidate == 1
    assert moved.lease is not None
    assert moved.lease.offer == offer()


def test_no_offer_is_left_after_the_last_one() -> None:
    last = renting(leases=(nothing_rented(lease(), "sold out"),), next_candidate=2)

    moved = next_offer(last, quiet_world(), "sold out").run

    assert moved.state is State.ENDED
    assert failed(moved) == (
        Outcome.NO_CAPACITY,
        "none of the 2 offers of the plan could be rented; the last one: sold out",
    )


def test_nothing_is_rented_on_a_plan_that_is_too_old() -> None:
    old = renting(leases=idle_machines(1), start_by_s=NOW_S - 1)

    moved = next_offer(old, quiet_world(), "no login").run

    assert failed(moved) == (
        Outcome.EXPIRED,
        "the plan is too old to rent on; the last one: no login",
    )
    assert len(moved.leases) == 1


def test_after_six_machines_without_work_no_seventh_is_rented() -> None:
    many = tuple(candidate(offer(f"offer {number}")) for number in range(9))

    def after(machines: int) -> Run:
        tried = renting(leases=idle_machines(machines), candidates=many, next_candidate=machines)
        return next_offer(tried, quiet_world(), "no login").run

    assert after(MAX_CREATED - 1).state is State.PLANNED
    assert failed(after(MAX_CREATED)) == (
        Outcome.NO_CAPACITY,
        "6 machines were rented and none did any work; the last one: no login",
    )


def test_machines_without_work_may_take_a_fifth_of_the_cap() -> None:
    def after(idle_s: float, *, did_work: bool = False) -> Run:
        idle = lease(
            state=LeaseState.CLOSED, sent_s=NOW_S - idle_s, gone_s=NOW_S, did_work=did_work
        )
        tried = renting(leases=(idle,), max_duration_s=36_000.0)
        return next_offer(tried, quiet_world(), "no login").run

    assert after(6000).state is State.PLANNED  # a dollar of five
    assert failed(after(6060)) == (
        Outcome.NO_CAPACITY,
        "$1.01 went to machines that did no work; the last one: no login",
    )
    assert after(6060, did_work=True).state is State.PLANNED


def test_a_person_who_wants_out_gets_no_other_machine() -> None:
    stopped = renting(leases=(nothing_rented(lease(), "sold out"),), wish=Wish.CANCEL)

    moved = next_offer(stopped, quiet_world(), "sold out").run

    assert (moved.state, moved.outcome, len(moved.leases)) == (State.ENDED, Outcome.CANCELLED, 1)


def test_money_that_is_gone_rents_no_other_machine() -> None:
    spent = lease(state=LeaseState.CLOSED, sent_s=NOW_S - 7200, gone_s=NOW_S, did_work=True)

    moved = next_offer(renting(leases=(spent,), cap_usd=Decimal("1.22")), quiet_world(), "lost").run

    assert moved.outcome is Outcome.REFUSED
    assert moved.failure is not None
    assert (moved.failure.code, moved.failure.exit_code) == ("budget", 5)


def test_what_earlier_machines_worked_counts_towards_max_duration() -> None:
    worked = lease(state=LeaseState.CLOSED, sent_s=NOW_S - 900, gone_s=NOW_S - 300, did_work=True)
    idle = lease("label-1", state=LeaseState.CLOSED, sent_s=NOW_S - 300, gone_s=NOW_S)

    after = next_offer(renting(leases=(worked, idle)), quiet_world(), "lost").run

    assert after.lease is not None
    assert after.lease.stop_s == NOW_S + 3000
    assert not after.lease.capped


def test_a_machine_still_on_its_way_back_leaves_less_for_the_next() -> None:
    def deadline_s(state: LeaseState) -> float:
        old = lease(state=state, sent_s=NOW_S - 60, gone_s=None)
        rented = (replace(old, did_work=True),)
        run = renting(leases=rented, cap_usd=Decimal("1.05"), max_duration_s=36_000.0)
        moved = next_offer(run, quiet_world(), "x").run
        assert moved.lease is not None
        return moved.lease.deadline_s

    assert deadline_s(LeaseState.RETURNING) < deadline_s(LeaseState.TOMBSTONE)


@pytest.mark.parametrize(("minutes", "hours"), [(16, 1), (55, 2)])
def test_of_a_machine_that_goes_back_the_hours_count_that_will_have_begun(
    minutes: int, hours: int
) -> None:
    old = lease(state=LeaseState.RETURNING, sent_s=NOW_S - 60 * minutes, gone_s=None)
    old = replace(old, increment_s=3600, deadline_s=NOW_S + 36_000, did_work=True)
    hour_usd = old.offer.price.usd_per_hour

    run = renting(leases=(old,), cap_usd=hour_usd * hours + hour_usd / 10, max_duration_s=36_000.0)
    moved = next_offer(run, quiet_world(), "x").run
    assert "does not pay for a minute" in failed(moved)[1]
    run = replace(run, cap_usd=hour_usd * (hours + 2))
    assert next_offer(run, quiet_world(), "x").run.lease not in (None, old)


def test_an_abandoned_machine_goes_back_and_the_plan_stays_good_a_while() -> None:
    world = quiet_world()
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S - 480)
    booting = run(state=State.BOOTING, leases=(held,), start_by_s=NOW_S - 60)

    moved = abandon(booting, world, held, "no login in time").run

    assert moved.state is State.PLANNED
    assert moved.leases[0].state is LeaseState.RETURNING
    assert moved.leases[0].why_ended == "no login in time"
    assert moved.notes == ("RTX 4090 x1: no login in time",)
    assert moved.start_by_s == NOW_S + 900


def test_a_next_offer_whose_key_is_missing_holds_up_no_return() -> None:
    def build(name: str) -> Described:
        if name == "vast":
            raise MissingCredentials("there is no key for Vast.ai")
        return Described(CAPABILITIES)

    world = quiet_world()
    world.accounts = Accounts(build, world.clock)
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S - 60)
    other = candidate(replace(offer("H100 x1"), provider="vast"))
    third = candidate(offer("RTX 4090 x2"))
    booting = run(state=State.BOOTING, leases=(held,), candidates=(candidate(offer()), other))

    alone = abandon(booting, world, held, "it failed").run
    more = abandon(replace(booting, candidates=(*booting.candidates, third)), world, held, "x").run

    assert alone.state is State.RETURNING
    assert "no key for Vast.ai" in failed(alone)[1]
    assert more.lease is not None and more.lease.offer == third.offer
    assert "H100 x1: there is no key for Vast.ai" in more.notes
    assert {alone.leases[0].state, more.leases[0].state} == {LeaseState.RETURNING}


def test_a_computer_that_slept_through_the_boot_rents_nothing_new() -> None:
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S - 86_400)
    booting = run(state=State.BOOTING, leases=(held,), start_by_s=NOW_S - 86_000)

    moved = abandon(booting, quiet_world(), held, "no login in time").run

    assert (moved.state, moved.outcome) == (State.RETURNING, Outcome.EXPIRED)


def test_an_error_is_recorded_with_its_hint_and_exit_code() -> None:
    failure = to_failure(BudgetRefused("no", hint="raise it"))

    assert (failure.code, failure.problem, failure.hint, failure.exit_code) == (
        "budget",
        "no",
        "raise it",
        5,
    )


def test_a_machine_that_worked_until_it_was_taken_away_counts_as_no_failed_attempt() -> None:
    taken = tuple(
        replace(one, did_work=True, reclaimed_s=NOW_S) for one in idle_machines(MAX_CREATED)
    )
    idle = tuple(replace(one, reclaimed_s=NOW_S) for one in idle_machines(MAX_CREATED))

    goes_on = next_offer(renting(leases=taken), quiet_world(clock=None), "taken away").run
    ends = next_offer(renting(leases=idle), quiet_world(clock=None), "taken away").run

    assert goes_on.state is State.PLANNED
    assert ends.outcome is Outcome.NO_CAPACITY
