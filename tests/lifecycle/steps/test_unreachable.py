from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import BadCredentials, ProviderDown, Unreachable
from orchestrator.lifecycle.steps.unreachable import UNREACHABLE_S
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import CAPABILITIES, Stage

DAY_S = UNREACHABLE_S
CALLS = ("list", "get", "delete")


def silent(stage: Stage, error: Exception | None = None) -> None:
    """The own computer is off: nobody logs in, and its provider says so."""
    trouble = error or ProviderDown("tower does not answer", hint="ssh tower")
    stage.box.fault = Unreachable("the line is dead")
    stage.cloud.errors = {call: [trouble] * 10_000 for call in CALLS}
    stage.world.drop_shell(stage.first)


def hours(stage: Stage, count: int) -> None:
    for _ in range(count):
        stage.after(3600)


def back(stage: Stage) -> None:
    stage.box.fault = None
    stage.cloud.errors = {}


@pytest.fixture
def at_work(stage: Stage) -> Stage:
    """A run whose program works on a computer that costs nothing."""
    stage.cloud.capabilities = replace(CAPABILITIES, bills=False)
    stage.begin_held(State.RUNNING, {"bills": False, "deadline_s": 9e9, "stop_s": 9e9})
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": true}', b"")}
    stage.drive()
    return stage


def test_a_silent_computer_is_waited_for_and_the_run_goes_on_when_it_answers(
    at_work: Stage,
) -> None:
    silent(at_work)
    hours(at_work, 20)
    assert at_work.state() is State.RUNNING
    assert "tower does not answer" in at_work.run.waiting

    back(at_work)
    at_work.after(60)
    assert at_work.first.unreached_s is None
    silent(at_work)
    hours(at_work, 20)

    assert at_work.state() is State.RUNNING, "the second silence is counted anew"


@pytest.mark.parametrize("kind", [ProviderDown, BadCredentials])
def test_after_a_day_the_run_ends_unreachable_with_a_tombstone(
    at_work: Stage, kind: type[Exception]
) -> None:
    silent(at_work, kind("tower does not answer"))

    hours(at_work, 26)
    ended = at_work.run

    assert ended.state is State.ENDED
    assert ended.outcome is Outcome.UNREACHABLE
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.exit_code) == ("unreachable", 6)
    assert ended.artifacts_missing
    lease = ended.leases[0]
    assert lease.state is LeaseState.TOMBSTONE
    assert lease.watch_until_s > at_work.clock.now_s()
    assert not ended.is_open


def test_a_day_asleep_is_no_day_of_trying(at_work: Stage) -> None:
    silent(at_work)
    at_work.after(0)

    at_work.restart()
    at_work.after(DAY_S + 60)
    assert at_work.state() is State.RUNNING

    at_work.after(700)
    assert at_work.run.outcome is Outcome.UNREACHABLE


def test_what_cannot_be_returned_for_a_day_is_left_with_a_tombstone(at_work: Stage) -> None:
    silent(at_work)
    at_work.journal.wish(at_work.run.id, Wish.CANCEL_NOW)
    at_work.drive()
    assert at_work.state() is State.RETURNING

    hours(at_work, 20)
    assert at_work.first.state is LeaseState.RETURNING

    hours(at_work, 6)
    ended = at_work.run
    assert ended.state is State.ENDED
    assert ended.outcome is Outcome.CANCELLED
    assert [lease.state for lease in ended.leases] == [LeaseState.TOMBSTONE]


def test_a_rented_machine_is_never_left(stage: Stage) -> None:
    stage.begin_held(State.RETURNING, {"state": LeaseState.RETURNING}, outcome=Outcome.FAILED)
    silent(stage)

    hours(stage, 30)

    assert stage.first.state is LeaseState.RETURNING
    assert stage.first.unreached_s is None
