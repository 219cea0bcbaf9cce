from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.lifecycle.deadlines import DRILL_LATE_S
from orchestrator.providers.base import MachineStatus
from orchestrator.runs.run import Failure
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import NOW_S, RUN_ID, launch

DEADLINE_S = NOW_S + 240


def drilling(stage: Stage) -> None:
    """A machine that is to end itself four minutes from now."""
    drill = replace(launch(), drill=True)
    stage.begin_held(State.BOOTING, {"deadline_s": DEADLINE_S}, launch=drill, candidates=())


def failure(stage: Stage) -> Failure:
    assert stage.run.failure is not None
    return stage.run.failure


def test_a_machine_that_ended_itself_after_its_deadline_is_a_drilled_guard(stage: Stage) -> None:
    drilling(stage)
    stage.drive()
    assert stage.run.waiting == "the machine is to end itself in 240 s"
    stage.clock.advance(241)
    stage.cloud.end("m1")

    ended = stage.until(lambda run: run.state is State.ENDED)

    assert (ended.outcome, stage.first.guard) == (Outcome.SUCCEEDED, "drilled")
    assert stage.first.returned_by == "machine"
    assert stage.cloud.said("delete") == []


def test_a_machine_that_ended_itself_late_is_counted_until_then(stage: Stage) -> None:
    drilling(stage)
    stage.drive()
    stage.after(240 + 120)
    stage.cloud.end("m1")

    ended = stage.until(lambda run: run.state is State.ENDED)

    assert ended.outcome is Outcome.SUCCEEDED
    assert ended.cost_usd(0) >= stage.cloud.usd_per_hour * 360 / 3600


def test_a_machine_that_outlives_its_deadline_is_returned_and_the_guard_is_to_blame(
    stage: Stage,
) -> None:
    drilling(stage)
    stage.drive()
    stage.after(240 + DRILL_LATE_S + 1)

    ended = stage.until(lambda run: run.state is State.ENDED)

    assert ended.outcome is Outcome.FAILED
    assert (failure(stage).code, failure(stage).exit_code) == ("guard", 6)
    assert "5 min after its deadline" in failure(stage).problem
    assert stage.first.returned_by == "provider"


def test_a_machine_that_vanishes_before_its_deadline_proves_nothing(stage: Stage) -> None:
    drilling(stage)
    stage.cloud.end("m1")

    stage.until(lambda run: run.state is State.ENDED)

    assert "before its deadline" in failure(stage).problem
    assert stage.first.guard == ""


@pytest.mark.parametrize(
    ("status", "problem"),
    [(MachineStatus.STOPPED, "only stopped"), (MachineStatus.FAILED, "none of the 0 offers")],
)
def test_a_machine_that_stops_or_fails_is_returned(
    stage: Stage, status: MachineStatus, problem: str
) -> None:
    drilling(stage)
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], status=status)

    stage.drive()

    assert stage.first.state is LeaseState.RETURNING
    assert problem in failure(stage).problem


@pytest.mark.parametrize(
    "shown", [{"status": MachineStatus.BOOTING}, {"status": MachineStatus.RUNNING, "address": None}]
)
def test_a_machine_that_never_boots_says_nothing_of_its_guard(
    stage: Stage, shown: dict[str, Any]
) -> None:
    drilling(stage)
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], **shown)
    stage.drive()

    stage.after(240)
    assert stage.state() is State.BOOTING
    stage.after(1)

    assert stage.first.state is LeaseState.RETURNING  # nothing in it would end it
    assert failure(stage).code == "no_capacity"
    assert stage.first.failed_boot_s is not None


def test_the_money_for_a_drill_ends_it(stage: Stage) -> None:
    drilling(stage)
    stage.drive()

    stage.after(36_000)

    assert stage.first.state is LeaseState.RETURNING
    assert "money for the drill" in failure(stage).problem


def test_a_cancelled_drill_returns_its_machine(stage: Stage) -> None:
    drilling(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()

    assert stage.first.state is LeaseState.RETURNING
