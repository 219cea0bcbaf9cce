from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.clock import FakeClock
from orchestrator.lifecycle.steps.keep import keep, keep_or_finish
from orchestrator.lifecycle.world import Moved, Wait, World
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.worlds import quiet_world
from tests.runs.samples import NOW_S, launch, lease, run

HELD = lease(state=LeaseState.HELD, sent_s=NOW_S - 600, machine_id="pod-1", bills=False)


def world(seconds: float = 0.0) -> World:
    free = Capabilities(guard=GuardWay.AGENT, bills=False)
    return quiet_world(capabilities=free, clock=FakeClock(NOW_S + seconds))


def collected(held: Lease = HELD, /, **changes: object) -> Run:
    made = run(state=State.COLLECTING, leases=(held,), launch=replace(launch(), keep_s=600.0))
    return replace(made, **changes)  # type: ignore[arg-type]


def kept(**changes: object) -> Run:
    made = collected(state=State.KEPT, outcome=Outcome.SUCCEEDED, kept_until_s=NOW_S + 600)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_machine_whose_job_is_over_is_kept_for_the_time_that_was_asked() -> None:
    moved = keep_or_finish(collected(), world(), Outcome.SUCCEEDED, None, "all is home")

    assert (moved.run.state, moved.run.outcome) == (State.KEPT, Outcome.SUCCEEDED)
    assert moved.run.kept_until_s == NOW_S + 600
    assert "kept until" in moved.events[0]


def test_a_job_that_failed_keeps_it_too_that_is_when_one_edits() -> None:
    failure = Failure("job_failed", "exit code 3")

    moved = keep_or_finish(collected(), world(), Outcome.FAILED, failure, "all is home")

    assert (moved.run.state, moved.run.failure) == (State.KEPT, failure)


def test_it_is_never_kept_past_its_deadline() -> None:
    short = replace(HELD, deadline_s=NOW_S + 100)

    moved = keep_or_finish(collected(short), world(), Outcome.SUCCEEDED, None, "home")

    assert moved.run.kept_until_s == NOW_S + 100


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        (Outcome.SUCCEEDED, {"launch": launch()}),
        (Outcome.SUCCEEDED, {"artifacts_missing": ("model",)}),
        (Outcome.SUCCEEDED, {"wish": Wish.CANCEL}),
        (Outcome.SUCCEEDED, {"stop_reason": "cap"}),
        (Outcome.CAPPED, {}),
        (Outcome.EXPIRED, {}),
        (Outcome.CANCELLED, {}),
    ],
)
def test_nothing_more_is_spent_where_nobody_asked_or_work_is_missing(
    outcome: Outcome, changes: dict[str, object]
) -> None:
    moved = keep_or_finish(collected(**changes), world(), outcome, None, "over")

    assert moved.run.state is State.RETURNING


def test_it_waits_until_its_time_is_over_and_then_goes_back() -> None:
    waits = keep(kept(), world(595))
    back = keep(kept(), world(600))

    assert isinstance(waits, Wait) and waits.seconds == 5
    assert isinstance(back, Moved) and back.run.state is State.RETURNING
    assert back.run.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("wish", [Wish.CANCEL, Wish.CANCEL_NOW])
def test_who_wants_it_back_gets_it_at_once_and_the_outcome_stays(wish: Wish) -> None:
    back = keep(kept(wish=wish), world())

    assert isinstance(back, Moved)
    assert (back.run.state, back.run.outcome) == (State.RETURNING, Outcome.SUCCEEDED)
    assert back.run.leases[0].state is LeaseState.RETURNING


def test_the_cap_ends_it_whatever_was_asked() -> None:
    dear = replace(HELD, bills=True, usd_per_hour=Decimal(60), deadline_s=NOW_S + 9999)

    back = keep(kept(leases=(dear,), cap_usd=Decimal(1)), world())

    assert isinstance(back, Moved) and "cap" in back.events[0]
