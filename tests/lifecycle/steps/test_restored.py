from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.errors import Unreachable
from orchestrator.lifecycle.steps.over import UNKNOWN
from orchestrator.lifecycle.views import exit_code
from orchestrator.runs.label import Label
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import NOW_S, RUN_ID


def of_this_run(home: str = "homeid", n: int = 1) -> str:
    return str(Label(home, RUN_ID, n, int(NOW_S), int(NOW_S) + 7200))


@pytest.mark.parametrize("after_s", [60.0, 86_400.0])
def test_a_machine_that_carries_the_label_already_is_taken_up_and_no_other_rented(
    stage: Stage, after_s: float
) -> None:
    stage.begin()
    stage.cloud.add("label-0", created_at_s=NOW_S + 5)
    stage.clock.advance(after_s)

    stage.drive(3)

    assert stage.cloud.said("create") == []
    assert (stage.state(), stage.first.state) == (State.BOOTING, LeaseState.HELD)
    assert stage.first.machine_id == "m1"
    assert "older copy" in stage.run.notes[0]
    assert stage.run.upper_usd(NOW_S + 3605) == Decimal("0.60")


def test_what_a_machine_made_is_missing_where_this_home_has_no_key_to_it(stage: Stage) -> None:
    """The run's key pair is younger than the copy."""
    stage.begin()
    stage.cloud.add("label-0", created_at_s=NOW_S + 5)
    stage.clock.advance(86_400.0)
    stage.box.fault = Unreachable("the key is refused")

    ended = stage.until(lambda run: run.state is State.ENDED)

    assert stage.cloud.said("create") == []
    assert (ended.outcome, exit_code(ended)) == (Outcome.EXPIRED, 8)
    assert ended.artifacts_missing == (UNKNOWN,)


def test_a_machine_of_the_run_under_an_unknown_label_keeps_a_second_from_being_rented(
    stage: Stage,
) -> None:
    stage.begin()
    stage.cloud.add(of_this_run())

    stage.drive()

    assert stage.cloud.said("create") == stage.cloud.said("delete") == []
    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.REFUSED)
    assert stage.run.failure is not None
    assert (stage.run.failure.code, stage.run.failure.exit_code) == ("home", 7)
    assert "m1 on runpod" in stage.run.failure.problem


def test_machines_of_other_homes_and_runs_hinder_nobody(stage: Stage) -> None:
    stage.begin()
    stage.cloud.add(of_this_run("others"))
    stage.cloud.add(str(Label("homeid", "otherrun", 0, int(NOW_S), int(NOW_S) + 7200)))

    stage.drive(2)

    assert stage.cloud.said("create") == ["label-0"]


def test_a_cancelled_run_gives_its_forgotten_machine_back(stage: Stage) -> None:
    stage.begin()
    stage.cloud.add("label-0")
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    ended = stage.until(lambda run: run.state is State.ENDED)

    assert (ended.outcome, exit_code(ended)) == (Outcome.CANCELLED, 8)
    assert (stage.first.state, stage.first.returned_by) == (LeaseState.CLOSED, "provider")
