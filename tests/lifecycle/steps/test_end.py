from __future__ import annotations

import pytest

from orchestrator.errors import BucketRefused
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from tests.lifecycle.steps.harness import Stage
from tests.lifecycle.steps.left_behind import LeftBehind, left_behind, with_bucket

__all__ = ["left_behind"]


def returning(stage: Stage, **changes: object) -> None:
    """A capped run whose machine was asked to go."""
    stage.begin_held(State.RETURNING, {"did_work": True}, outcome=Outcome.CAPPED, **changes)
    stage.engine.save(stage.run, gone(stage.run), [])


def gone(run: Run) -> Run:
    """The run with its machine proven gone."""
    lease = run.leases[0].move(LeaseState.RETURNING, why_ended="cap")
    return run.with_lease(lease.move(LeaseState.CLOSED, gone_s=run.created_s, returned_by="x"))


def test_a_run_whose_machines_are_gone_is_over(stage: Stage) -> None:
    returning(stage)

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.CAPPED)
    assert "ended: capped" in stage.events()


def test_what_nobody_had_time_to_look_for_is_found_after_the_return(
    stage: Stage, left_behind: LeftBehind
) -> None:
    returning(stage, launch=with_bucket(), unsettled=True, artifacts_missing=("all?",))
    left_behind.sends({"output/a": b"abc"}, complete=True)

    stage.drive()

    assert stage.run.state is State.ENDED
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert stage.run.artifacts_missing == ()


@pytest.mark.parametrize("down", [True, False])
def test_a_store_that_cannot_be_asked_keeps_the_run_open_for_some_minutes(
    down: bool, stage: Stage, left_behind: LeftBehind
) -> None:
    returning(stage, launch=with_bucket(), unsettled=True, artifacts_missing=("all?",))
    left_behind.sends({"output/a": b"abc"}, complete=True)
    left_behind.store.down = down
    left_behind.refused = None if down else BucketRefused("there are no AWS credentials")

    stage.drive()
    assert stage.state() is State.RETURNING
    stage.after(601)

    assert stage.run.state is State.ENDED
    assert stage.run.artifacts_missing == ("all?",)
    assert stage.run.notes
