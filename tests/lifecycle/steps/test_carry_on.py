"""A workstation that was restarted in mid-job."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.agent.protocol import EXIT_FILE, STOP_FILE, encode
from orchestrator.lifecycle.deadlines import AGENT_SILENT_S
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import LeaseState, State, Wish
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import RUN_ID, launch

STOPPED = {"event": "exited", "why": "stopped", "exit_code": 0, "message": "the agent got SIGTERM"}
DEAD, ALIVE = (Reply(0, encode({"agent_alive": alive}), b"") for alive in (False, True))


def running(stage: Stage, *, bills: bool = False, **changes: object) -> None:
    stage.cloud.capabilities = replace(stage.cloud.capabilities, bills=bills)
    stage.begin_held(State.RUNNING, {"did_work": True, "bills": bills}, **changes)
    stage.box.say(event="checkpoint", step=4, path="checkpoints/step-4")
    stage.drive()
    stage.box.replies["guard-status"] = DEAD


def resumed(stage: Stage) -> int:
    return sum(command.endswith(" resume") for command in stage.box.commands)


def test_a_silent_agent_that_is_gone_is_followed_by_another_on_the_same_machine(
    stage: Stage,
) -> None:
    running(stage)
    stage.after(AGENT_SILENT_S - 1)
    assert resumed(stage) == 0

    stage.after(2)

    assert (stage.state(), resumed(stage)) == (State.RUNNING, 1)
    assert stage.first.state is LeaseState.HELD
    assert "goes on from the newest checkpoint" in stage.run.notes[-1]
    stage.box.replies["guard-status"] = ALIVE
    stage.box.say(event="resumed")
    stage.after(AGENT_SILENT_S + 1)
    assert (stage.state(), resumed(stage)) == (State.RUNNING, 1)


def test_a_program_that_its_computer_told_to_stop_goes_on_after_the_restart(stage: Stage) -> None:
    running(stage)
    stage.box.replies["guard-status"] = ALIVE
    stage.box.say(**STOPPED)
    stage.box.say(event="ready", manifest=True)

    stage.after(1)
    assert stage.state() is State.RUNNING
    assert stage.run.waiting == "its computer stopped the job, and may be restarting"
    stage.box.replies["guard-status"] = DEAD
    stage.after(60)

    assert (stage.state(), resumed(stage)) == (State.RUNNING, 1)
    assert (stage.run.exit, stage.run.manifest_ready) == ({}, False)


def test_what_was_said_of_the_end_counts_no_more_to_whoever_reads_on_after_a_death(
    stage: Stage,
) -> None:
    """The agent was started again, and nobody lived to write that down."""
    running(stage)
    stage.box.replies["guard-status"] = ALIVE
    stage.box.say(**STOPPED)
    stage.box.say(event="resumed")
    stage.box.say(event="progress", step=5, steps=6)

    stage.after(1)

    assert (stage.state(), stage.run.exit, resumed(stage)) == (State.RUNNING, {}, 0)


def test_a_computer_that_is_not_restarted_after_all_gives_back_what_there_is(stage: Stage) -> None:
    running(stage)
    stage.box.replies["guard-status"] = ALIVE
    stage.box.say(**STOPPED)

    for _ in range(3):
        stage.after(61)

    assert (stage.state(), resumed(stage)) == (State.COLLECTING, 0)


def test_a_program_that_had_ended_before_is_not_run_again(stage: Stage) -> None:
    running(stage)
    stage.box.files[EXIT_FILE] = encode({"why": "finished", "exit_code": 0})

    stage.after(AGENT_SILENT_S + 1)

    assert (stage.state(), resumed(stage)) == (State.COLLECTING, 0)
    assert stage.run.exit["exit_code"] == 0


def test_a_job_that_was_to_stop_does_not_go_on(stage: Stage) -> None:
    running(stage, launch=replace(launch(), grace_s=5.0))
    stage.journal.wish(RUN_ID, Wish.CANCEL)
    stage.drive(2)
    assert STOP_FILE in stage.box.written

    stage.after(AGENT_SILENT_S + 1)

    assert resumed(stage) == 0
    assert stage.run.exit["message"] == "the agent ended without a word"


def test_one_that_is_restarted_again_and_again_is_given_up(stage: Stage) -> None:
    running(stage)
    stage.box.replies[" resume"] = Reply(3, b"", b"this job was started before")

    stage.after(AGENT_SILENT_S + 1)

    assert stage.state() is State.COLLECTING


def test_a_rented_machine_is_not_started_again_by_this(stage: Stage) -> None:
    running(stage, bills=True)

    stage.after(AGENT_SILENT_S + 1)

    assert resumed(stage) == 0
    assert stage.state() is State.COLLECTING
