"""Runs whose results go to a bucket, step by step: where work and money might part."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.agent.protocol import (
    EVENTS_FILE,
    FETCHED_FILE,
    MANIFEST_FILE,
    SLOTS_FILE,
    encode,
)
from orchestrator.errors import BucketRefused, Unreachable
from orchestrator.providers.base import MachineStatus
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import Stage, listed
from tests.lifecycle.steps.left_behind import LeftBehind, left_behind, with_bucket
from tests.runs.samples import NOW_S, RUN_ID

__all__ = ["left_behind"]

NO_KEYS = BucketRefused("artifacts.to needs AWS credentials, and there are none")
ENDED = {"why": "finished", "exit_code": 0, "ended_at": NOW_S}


def collecting(stage: Stage, **changes: object) -> None:
    """A machine whose program has ended, and which still has all its results."""
    files = [listed("output/a", b"abc")]
    stage.begin_held(
        State.COLLECTING,
        {"did_work": True},
        **{"launch": with_bucket(), "exit": ENDED, "exit_seen_s": NOW_S, **changes},
    )
    stage.box.files |= {"output/a": b"abc", MANIFEST_FILE: json.dumps({"files": files}).encode()}
    stage.box.say(event="ready", manifest=True)


def running(stage: Stage, **changes: object) -> None:
    stage.begin_held(
        State.RUNNING, {"did_work": True}, **{"launch": with_bucket(), "heard_s": NOW_S, **changes}
    )


def test_a_machine_goes_back_only_once_everything_is_proven_there(
    stage: Stage, left_behind: LeftBehind
) -> None:
    collecting(stage)
    stage.box.say(event="upload", state="sending", done_bytes=0, left_bytes=3)
    stage.drive(2)
    assert stage.state() is State.COLLECTING
    assert "0.0 MiB left" in stage.run.waiting

    stage.box.say(event="upload", state="complete", done_bytes=3, left_bytes=0)
    left_behind.sends({"output/a": b"abc"}, complete=True)
    stage.drive()

    assert stage.state() is State.RETURNING
    assert (stage.run.outcome, stage.run.artifacts_missing) == (Outcome.SUCCEEDED, ())
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert not (stage.home / "artifacts").exists(), "nothing came home"
    assert FETCHED_FILE in stage.box.written


@pytest.mark.parametrize("why", ["an object is gone", "the index is not complete", "no index"])
def test_what_the_bucket_lacks_comes_home_from_the_machine(
    why: str, stage: Stage, left_behind: LeftBehind
) -> None:
    collecting(stage)
    stage.box.say(event="upload", state="complete", done_bytes=3, left_bytes=0)
    left_behind.sends({"output/a": b"abc"}, complete=why != "the index is not complete")
    if why == "an object is gone":
        left_behind.loses("parts/00000")
    if why == "no index":
        left_behind.loses("index.json")

    stage.until(lambda run: run.state is State.RETURNING)

    assert (stage.home / "artifacts/a").read_bytes() == b"abc"
    assert stage.run.brought_home
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert "results come home instead" in stage.run.notes[0]


def test_results_that_the_bucket_refuses_come_home(stage: Stage, left_behind: LeftBehind) -> None:
    collecting(stage)
    stage.box.say(event="upload", state="failing", problem="the bucket answers 403 AccessDenied")
    stage.drive(2)
    assert stage.run.waiting.endswith("the bucket answers 403 AccessDenied; tried again")

    stage.after(100)
    assert stage.state() is State.COLLECTING
    stage.after(201)
    stage.until(lambda run: run.state is State.RETURNING, limit_s=60)

    assert SLOTS_FILE in " ".join(stage.box.commands), "new ones were tried before"
    assert (stage.home / "artifacts/a").read_bytes() == b"abc"


@pytest.mark.parametrize("state", [State.RUNNING, State.COLLECTING])
@pytest.mark.parametrize("broken", ["no keys", "down"])
def test_the_cap_waits_for_no_bucket(
    broken: str, state: State, stage: Stage, left_behind: LeftBehind
) -> None:
    begin = running if state is State.RUNNING else collecting
    begin(stage, cap_usd=Decimal("0.50"))
    left_behind.refused = NO_KEYS if broken == "no keys" else None
    left_behind.store.down = broken == "down"

    stage.after(2820)

    over = stage.run
    assert over.state is State.RETURNING
    assert stage.first.state is LeaseState.RETURNING
    assert over.upper_usd(stage.clock.now_s()) <= over.cap_usd
    assert over.unsettled


def test_a_stopped_machine_that_may_bill_waits_for_no_bucket_at_its_cap(
    stage: Stage, left_behind: LeftBehind
) -> None:
    running(stage, cap_usd=Decimal("0.50"))
    left_behind.store.down = True
    stage.box.fault = Unreachable("no route")
    stopped = replace(stage.cloud.machines["m1"], status=MachineStatus.STOPPED)
    stage.cloud.machines["m1"] = stopped

    stage.after(2820)

    assert stage.first.state is LeaseState.RETURNING
    assert stage.run.outcome is Outcome.CAPPED


def test_a_driver_without_keys_watches_on(stage: Stage, left_behind: LeftBehind) -> None:
    running(stage, slots_sent_s=NOW_S - 86400)
    left_behind.refused = NO_KEYS
    stage.box.say(event="progress", step=3)

    stage.drive()

    assert stage.run.progress["step"] == 3
    assert "no new slots" in stage.run.notes[-1]


def test_cancel_now_asks_no_bucket_first(stage: Stage, left_behind: LeftBehind) -> None:
    running(stage)
    left_behind.sends({}, complete=False, others={"log.txt": b"step 1\n"})
    left_behind.store.down = True
    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)

    stage.drive()
    assert stage.first.state is LeaseState.RETURNING
    left_behind.store.down = False
    stage.until(lambda run: not run.is_open)

    assert (stage.home / "log.txt").read_bytes() == b"step 1\n"
    assert stage.run.artifacts_missing


def ends_itself(stage: Stage) -> None:
    """The machine has ended while nobody looked."""
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")
    stage.clock.advance(60)


def test_a_job_that_ended_while_nobody_looked_is_told_by_the_bucket(
    stage: Stage, left_behind: LeftBehind
) -> None:
    running(stage)
    events = json.dumps({"at": NOW_S, "event": "exited", **ENDED}).encode() + b"\n"
    left_behind.sends({"output/a": b"abc"}, complete=True, others={EVENTS_FILE: events})
    ends_itself(stage)

    stage.until(lambda run: not run.is_open)

    assert (stage.run.outcome, stage.run.artifacts_missing) == (Outcome.SUCCEEDED, ())
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert len(stage.cloud.said("create")) == 0


def test_a_machine_that_ended_once_all_was_there_did_not_cost_until_somebody_came(
    stage: Stage, left_behind: LeftBehind
) -> None:
    running(stage)
    events = json.dumps({"at": NOW_S, "event": "exited", **ENDED}).encode() + b"\n"
    left_behind.sends(
        {"output/a": b"abc"}, complete=True, others={EVENTS_FILE: events}, at_s=NOW_S + 30
    )
    ends_itself(stage)
    stage.clock.advance(1500)

    stage.until(lambda run: not run.is_open)

    assert stage.first.cost_usd(stage.clock.now_s()) == Decimal("0.60") * 60 / 3600


def test_no_work_is_done_twice_because_the_bucket_could_not_be_asked(
    stage: Stage, left_behind: LeftBehind
) -> None:
    running(stage)
    left_behind.sends({"output/a": b"abc"}, complete=True)
    left_behind.refused = NO_KEYS
    ends_itself(stage)

    stage.drive()
    assert stage.state() is State.RUNNING
    assert "AWS credentials" in stage.run.waiting
    stage.clock.advance(600)
    stage.until(lambda run: not run.is_open)

    assert stage.cloud.said("create") == []
    assert stage.run.failure is not None
    assert stage.run.failure.code == "host_lost"


def test_keys_that_come_back_are_used(stage: Stage, left_behind: LeftBehind) -> None:
    running(stage)
    left_behind.sends({"output/a": b"abc"}, complete=True)
    left_behind.refused = NO_KEYS
    ends_itself(stage)
    stage.drive()

    left_behind.refused = None
    stage.until(lambda run: not run.is_open)

    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert stage.run.artifacts_missing == ()


def test_a_lost_machine_s_work_goes_on_elsewhere_with_a_folder_of_its_own(
    stage: Stage, left_behind: LeftBehind
) -> None:
    running(stage, upload="complete", slots_sent_s=NOW_S, max_duration_s=3600)
    left_behind.sends({}, complete=False)
    ends_itself(stage)

    stage.until(lambda run: len(run.leases) == 2)

    assert (stage.run.upload, stage.run.slots_sent_s) == ("", 0.0)
    assert stage.cloud.machines["m1"].status is MachineStatus.RUNNING


def shipping(stage: Stage, **changes: object) -> None:
    """A machine whose agent was started by a process that did not live to write it down."""
    stage.begin_held(State.SHIPPING, {}, **{"launch": with_bucket(), **changes})


def test_a_job_that_was_done_while_nobody_lived_is_found_in_its_bucket(
    stage: Stage, left_behind: LeftBehind
) -> None:
    shipping(stage)
    events = encode({"event": "exited", "at": NOW_S, **ENDED}) + encode({"event": "ready"})
    left_behind.sends({"output/a": b"abc"}, complete=True, others={EVENTS_FILE: events})
    ends_itself(stage)
    stage.clock.advance(8 * 3600, asleep=True)

    stage.until(lambda run: not run.is_open)

    assert (stage.run.outcome, stage.run.artifacts_missing) == (Outcome.SUCCEEDED, ())
    assert [path for path, _, _ in stage.run.artifacts] == ["a"]
    assert len(stage.run.leases) == 1, "nothing was done a second time"


def test_a_machine_that_left_nothing_is_replaced(stage: Stage, left_behind: LeftBehind) -> None:
    shipping(stage)
    ends_itself(stage)

    stage.until(lambda run: len(run.leases) == 2)

    assert stage.first.why_ended == "the machine vanished before its job began"


@pytest.mark.parametrize("begun", [True, False])
def test_a_machine_that_nobody_reaches_for_long_goes_on_where_its_bucket_shows_that_it_works(
    stage: Stage, left_behind: LeftBehind, begun: bool
) -> None:
    shipping(stage)
    if begun:
        left_behind.sends({}, complete=False)
    stage.box.fault = Unreachable("no route")
    stage.drive()
    assert stage.state() is State.SHIPPING

    stage.after(3 * 3600)

    assert (stage.state() is State.SETTING_UP) is begun
    assert (stage.first.state is LeaseState.HELD) is begun


@pytest.mark.parametrize("wish", [Wish.CANCEL, Wish.CANCEL_NOW])
def test_a_bucket_that_is_down_holds_up_no_cancel(
    stage: Stage, left_behind: LeftBehind, wish: Wish
) -> None:
    shipping(stage)
    left_behind.store.down = True
    stage.box.fault = Unreachable("no route")
    stage.journal.wish(RUN_ID, wish)

    stage.drive()

    assert stage.run.outcome is Outcome.CANCELLED
    assert stage.first.state is LeaseState.RETURNING
