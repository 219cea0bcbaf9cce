from __future__ import annotations

from orchestrator.agent.protocol import STOP_FILE
from orchestrator.errors import RemoteError, Unreachable
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import State, Wish
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import RUN_ID

FULL = RemoteError("The machine's disk is full.")


def cancelled(stage: Stage) -> None:
    """A job that was just asked to end, on a machine whose agent lives."""
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": true}', b"")}
    stage.begin_held(State.RUNNING, {"did_work": True})
    stage.journal.wish(RUN_ID, Wish.CANCEL)


def test_a_machine_whose_disk_takes_no_byte_is_told_by_a_signal(stage: Stage) -> None:
    cancelled(stage)
    stage.box.refuses = FULL

    for _ in range(5):
        stage.after(5)

    assert stage.box.commands.count("python3 agent.pyz stop 60.0 cancelled") == 1
    assert (stage.run.stop_reason, stage.run.waiting) == ("cancelled", "")
    stage.box.say(event="exited", why="stopped", exit_code=143)
    stage.after(1)
    assert stage.state() is State.COLLECTING


def test_one_that_does_not_heed_the_signal_either_is_ended(stage: Stage) -> None:
    cancelled(stage)
    stage.box.refuses = FULL

    for _ in range(50):
        stage.after(15)

    assert "python3 agent.pyz kill" in stage.box.commands
    assert stage.state() is State.COLLECTING


def test_a_machine_that_cannot_be_reached_was_not_asked(stage: Stage) -> None:
    cancelled(stage)
    stage.drive()
    stage.box.refuses = Unreachable("the line broke")

    stage.after(5)
    assert stage.run.stop_asked_s is None
    stage.box.refuses = None
    stage.after(5)

    assert stage.box.written == [STOP_FILE]
