from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.errors import Unreachable
from orchestrator.lifecycle.deadlines import AGENT_SILENT_S
from orchestrator.remote.shell import Reply
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from tests.lifecycle.steps.harness import CAPABILITIES, Stage, listed
from tests.runs.samples import NOW_S, launch


def loses_its_machine(
    stage: Stage, state: State = State.RUNNING, *, silent_s: float = 0.0, **changes: object
) -> Run:
    """A machine at work is gone; the run after the driver found out."""
    heard_s = NOW_S + CAPABILITIES.list_lag_s - silent_s
    stage.begin_held(state, {"did_work": True}, **{**changes, "heard_s": heard_s})
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")
    stage.after(CAPABILITIES.list_lag_s)
    stage.box.fault = None
    return stage.run


def brings_a_checkpoint_home(stage: Stage, step: int) -> None:
    document = {"step": step, "files": [listed("weights", b"weights")]}
    folder = stage.home / f"checkpoints/step-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    (folder / "complete.json").write_text(json.dumps(document))


@pytest.mark.parametrize("state", [State.SETTING_UP, State.RUNNING])
def test_the_job_goes_on_at_the_same_offer_under_a_new_label(stage: Stage, state: State) -> None:
    brings_a_checkpoint_home(stage, 40)

    run = loses_its_machine(stage, state)

    old, new = run.leases
    assert (run.state, run.outcome) == (State.PLANNED, None)
    assert run.artifacts_missing == ("everything after the last pull: the machine is gone",)
    assert (old.state, old.why_ended) == (LeaseState.RETURNING, "the machine was lost")
    assert (new.state, new.offer) == (LeaseState.INTENDED, old.offer)
    assert new.label != old.label
    assert run.notes == (
        "m1 was lost; the job goes on from its checkpoint at step 40 on another machine",
    )


def test_without_a_checkpoint_it_starts_anew(stage: Stage) -> None:
    run = loses_its_machine(stage)

    assert run.notes == ("m1 was lost; the job goes on from the start on another machine",)


def test_the_second_machine_is_read_from_its_beginning_and_logged_behind_the_first(
    stage: Stage,
) -> None:
    (stage.home / "log.txt").write_bytes(b"step 1\nstep 2")
    run = loses_its_machine(
        stage, event_offset=900, progress={"step": 2.0}, checkpoint="checkpoints/step-2"
    )
    assert (run.event_offset, run.progress, run.checkpoint) == (0, {}, "")

    stage.box.files = {"log.txt": b"step 2\n"}
    stage.world.log(run).fetch_some(stage.box)

    log = (stage.home / "log.txt").read_text()
    assert log.startswith("step 1\nstep 2\n[gpulease: m1 was lost; ")
    assert log.endswith("machine]\nstep 2\n")


def test_both_machines_count_towards_the_cap(stage: Stage) -> None:
    run = loses_its_machine(stage)

    old, new = run.leases
    longest_s = run.max_duration_s + 60 + run.launch.collect_s + run.launch.hold_s
    assert new.deadline_s == NOW_S + longest_s
    assert run.upper_usd(NOW_S + 100) == old.upper_usd(NOW_S + 100)


@pytest.mark.parametrize(
    ("silent_s", "hold_s"),
    [(901.0, 1800.0), (61.0, 60.0)],
    ids=["this computer slept", "it may have held its results in vain"],
)
def test_a_machine_that_was_silent_for_long_is_not_replaced(
    stage: Stage, silent_s: float, hold_s: float
) -> None:
    held = replace(launch(), hold_s=hold_s)

    run = loses_its_machine(stage, silent_s=silent_s, launch=held)

    assert (run.state, run.outcome) == (State.RETURNING, Outcome.FAILED)
    assert run.failure is not None
    assert (run.failure.code, run.failure.exit_code) == ("host_lost", 6)
    assert run.artifacts_missing


def test_the_last_minute_of_max_duration_rents_no_other(stage: Stage) -> None:
    run = loses_its_machine(stage, max_duration_s=CAPABILITIES.list_lag_s + 59)

    assert run.outcome is Outcome.FAILED
    assert len(run.leases) == 1


def test_what_a_lost_machine_said_of_its_end_ends_nothing_on_the_next(stage: Stage) -> None:
    run = loses_its_machine(stage, manifest_ready=True, stop_asked_s=NOW_S)

    assert (run.state, run.manifest_ready, run.stop_asked_s) == (State.PLANNED, False, None)


def test_the_last_checkpoint_of_a_machine_that_can_still_be_reached_comes_home(
    stage: Stage,
) -> None:
    """Its container was started anew: nothing runs on it, and its disk is as it was."""
    document = {"step": 60, "files": [listed("weights", b"weights")]}
    stage.box.files["checkpoints/step-60/complete.json"] = json.dumps(document).encode()
    stage.box.files["checkpoints/step-60/weights"] = b"weights"
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": false, "boots": 2}', b"")}
    changes = {"heard_s": NOW_S, "checkpoint": "checkpoints/step-60", "checkpoint_pulled_s": NOW_S}
    stage.begin_held(State.RUNNING, {"did_work": True}, **changes)

    stage.after(AGENT_SILENT_S + 1)

    assert stage.state() is State.PLANNED
    assert "goes on from its checkpoint at step 60" in stage.run.notes[-1]
