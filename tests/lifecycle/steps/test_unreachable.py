from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.agent.protocol import EVENTS_FILE, encode
from orchestrator.errors import BadCredentials, ProviderDown, Unreachable
from orchestrator.lifecycle.steps.unreachable import UNREACHABLE_S
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import CAPABILITIES, Stage
from tests.lifecycle.steps.left_behind import LeftBehind, left_behind, with_bucket

__all__ = ["left_behind"]

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


def works_with_bucket(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, bills=False)
    times = {"deadline_s": 9e9, "stop_s": 9e9}
    stage.begin_held(State.RUNNING, {"bills": False, **times}, launch=with_bucket())
    stage.drive()
    silent(stage)


def test_what_it_had_sent_to_the_bucket_before_it_went_silent_is_the_result(
    stage: Stage, left_behind: LeftBehind
) -> None:
    works_with_bucket(stage)
    exited = encode({"event": "exited", "why": "finished", "exit_code": 0, "at": 1.0})
    others = {EVENTS_FILE: exited}
    left_behind.sends({"output/a": b"abc"}, complete=True, others=others)

    hours(stage, 50)

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.SUCCEEDED)
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert stage.run.artifacts_missing == ()
    assert [lease.state for lease in stage.run.leases] == [LeaseState.TOMBSTONE]


def test_what_was_not_yet_in_the_bucket_is_said_to_be_missing(
    stage: Stage, left_behind: LeftBehind
) -> None:
    works_with_bucket(stage)
    left_behind.sends({"output/a": b"abc"}, complete=False)

    hours(stage, 50)

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.UNREACHABLE)
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert "not yet in the bucket" in stage.run.artifacts_missing[0]


def test_a_bucket_that_is_down_too_is_asked_again(stage: Stage, left_behind: LeftBehind) -> None:
    works_with_bucket(stage)
    left_behind.sends({"output/a": b"abc"}, complete=True)
    left_behind.store.down = True
    hours(stage, 25)
    assert stage.state() is State.RUNNING

    left_behind.store.down = False
    stage.after(60)

    assert [path for path, _, _ in stage.run.artifacts] == ["a"]


def test_a_bucket_that_answers_by_halves_is_looked_into_once_more(
    stage: Stage, left_behind: LeftBehind
) -> None:
    works_with_bucket(stage)
    left_behind.sends({"output/a": b"abc"}, complete=True)
    left_behind.store.denies, left_behind.store.status = {"list_objects_v2": "SlowDown"}, 503
    hours(stage, 25)
    assert stage.state() is State.RETURNING

    left_behind.store.denies = {}
    hours(stage, 26)

    assert stage.state() is State.ENDED
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]


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
