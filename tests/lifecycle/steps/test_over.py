"""Cap and deadline, whatever a step is at."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import GpuleaseError, HomeError, ProviderDown, Unreachable
from orchestrator.providers.base import GuardWay, MachineStatus
from orchestrator.remote.shell import Reply
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.store.journal import Journal
from tests.lifecycle.steps.harness import CAPABILITIES, HOST_KEY, Box, Stage, listed
from tests.runs.samples import NOW_S, RUN_ID, lease

UNGUARDED = replace(CAPABILITIES, guard=GuardWay.NONE)
CAP_USD = Decimal("0.60")
ALIVE = Reply(0, b'{"agent_alive": true}', b"")
ENDED = {"why": "finished", "exit_code": 0}


def until_it_goes_back(stage: Stage) -> None:
    stage.until(lambda run: bool(stage.cloud.said("delete")), limit_s=30_000)
    stage.until(lambda run: not run.is_open)
    assert stage.run.upper_usd(stage.clock.now_s()) <= CAP_USD
    assert stage.run.outcome is Outcome.CAPPED


@pytest.mark.parametrize("state", [State.BOOTING, State.SHIPPING])
def test_the_cap_ends_a_machine_that_nobody_may_list_or_reach(stage: Stage, state: State) -> None:
    stage.cloud.capabilities = UNGUARDED
    changes: dict[str, object] = {"host_key": HOST_KEY, "deadline_s": NOW_S + 10**6, "capped": True}
    stage.begin_held(state, changes, cap_usd=CAP_USD)
    stage.box.fault = Unreachable("nobody answers")
    list_machines = stage.cloud.list_machines

    def down_while_it_lives() -> list[object]:
        if not stage.cloud.said("delete"):
            raise ProviderDown("502")
        return list(list_machines())

    stage.cloud.list_machines = down_while_it_lives  # type: ignore[method-assign, assignment]

    until_it_goes_back(stage)


@pytest.mark.parametrize("state", [State.BOOTING, State.SHIPPING])
def test_the_cap_ends_a_machine_whose_key_cannot_be_read_at_home(
    stage: Stage, state: State
) -> None:
    stage.cloud.capabilities = UNGUARDED
    changes: dict[str, object] = {"host_key": HOST_KEY, "deadline_s": NOW_S + 10**6, "capped": True}
    stage.begin_held(state, changes, cap_usd=CAP_USD)
    unreadable: GpuleaseError = HomeError("The key pair cannot be used: Permission denied")
    stage.box.fault = unreadable

    until_it_goes_back(stage)


def test_what_boots_past_its_deadline_is_ended_by_its_step_and_not_as_over(stage: Stage) -> None:
    stage.begin_held(State.BOOTING, {"host_key": HOST_KEY, "deadline_s": NOW_S + 2000.0})
    stage.box.fault = Unreachable("nobody answers")

    stage.until(lambda run: not run.is_open)

    assert "nobody could log in within" in stage.events()


def test_a_look_at_a_machine_that_drips_ends_soon_and_the_cap_holds(stage: Stage) -> None:
    body = b"x" * 4000
    file = {key: value for key, value in listed("w", body).items() if key != "kind"}
    begin_running(stage)
    stage.box.files["checkpoints/step-40/w"] = body
    document = json.dumps({"step": 40, "at": 1, "files": [file]}).encode()
    stage.box.files["checkpoints/step-40/complete.json"] = document
    stage.box.say(event="checkpoint", step=40, path="checkpoints/step-40")

    def drip(path: str, offset: int, end: int) -> Iterator[bytes]:
        for at in range(offset, end):
            stage.clock.advance(50)
            yield body[at : at + 1]

    stage.box.pull = drip  # type: ignore[method-assign, assignment]
    stage.clock.advance(600)
    before_s = stage.clock.now_s()

    stage.drive()

    assert stage.clock.now_s() - before_s < 120
    until_it_goes_back(stage)


class StuckBox(Box):
    """A machine that keeps whoever reads from it, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.free = threading.Event()
        self.closed_by: list[int] = []

    def read(self, path: str, offset: int, limit: int) -> bytes:
        self.asked.set()
        assert self.free.wait(20)
        return super().read(path, offset, limit)

    def close(self) -> None:
        self.closed_by.append(threading.get_ident())


@contextmanager
def stuck(stage: Stage) -> Iterator[tuple[StuckBox, Future[float | None]]]:
    """A step of another thread, which a machine holds."""
    stage.box = box = StuckBox()
    with ThreadPoolExecutor(1) as other:
        try:
            step = other.submit(stage.engine.drive, RUN_ID)
            assert box.asked.wait(20)
            yield box, step
        finally:
            box.free.set()


def begin_running(stage: Stage, state: State = State.RUNNING) -> None:
    stage.box.replies["guard-status"] = ALIVE
    held: dict[str, object] = {
        "host_key": HOST_KEY,
        "did_work": True,
        "guard": "plausible",
        "deadline_s": NOW_S + 10**6,
        "capped": True,
    }
    stage.begin_held(state, held, cap_usd=CAP_USD, exit=ENDED if state is State.COLLECTING else {})


@pytest.mark.parametrize("state", [State.SETTING_UP, State.RUNNING, State.COLLECTING])
def test_a_machine_that_holds_a_step_goes_back_before_the_cap_all_the_same(
    stage: Stage, state: State
) -> None:
    begin_running(stage, state)
    with stuck(stage) as (box, step):
        while not stage.cloud.said("delete"):
            assert stage.clock.now_s() < NOW_S + 7200
            stage.clock.advance(5)
            stage.engine.drive_beside(RUN_ID)

        assert stage.run.upper_usd(stage.clock.now_s()) <= CAP_USD
        assert stage.run.outcome is Outcome.CAPPED or state is State.COLLECTING
        assert not step.done() and not box.closed_by, "its connection is still in use"
        box.free.set()
        assert step.result(20) == 0.0, "its own write came too late"

    assert len(box.closed_by) == 1 and box.closed_by[0] != threading.get_ident()
    stage.until(lambda run: not run.is_open)
    assert stage.first.returned_by == "provider"


@pytest.mark.parametrize("state", [State.SHIPPING, State.RUNNING, State.COLLECTING])
def test_cancel_now_is_heard_beside_a_step_that_a_machine_holds(stage: Stage, state: State) -> None:
    begin_running(stage, state)
    if state is State.SHIPPING:  # what another run left there is looked for first
        changed = replace(stage.first, taken_from="another")
        stage.journal.save(stage.run, stage.run.with_lease(changed), [], [], NOW_S)
    with stuck(stage):
        stage.engine.drive_beside(RUN_ID)
        assert not stage.cloud.said("delete"), "nobody wants it back"

        stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)
        for _ in range(3):
            stage.engine.drive_beside(RUN_ID)

        assert stage.cloud.said("delete") == ["m1"]
    stage.until(lambda run: not run.is_open)
    assert stage.run.outcome is Outcome.CANCELLED


def test_an_older_machine_goes_back_beside_a_step_that_the_next_one_holds(stage: Stage) -> None:
    begin_running(stage)
    old = stage.cloud.add("label-old")
    known = {"machine_id": old.id, "sent_s": NOW_S, "began_s": NOW_S}
    back = lease("label-old", state=LeaseState.RETURNING, **known)
    in_use = replace(stage.first, guard="drilled")
    stage.journal.save(stage.run, replace(stage.run, leases=(back, in_use)), [], [], NOW_S)
    stage.cloud.ignores_delete = True
    with stuck(stage):
        asked = len(stage.cloud.said("delete"))
        stage.cloud.ignores_delete = False
        for _ in range(100):
            stage.clock.advance(5)
            stage.engine.drive_beside(RUN_ID)

        assert len(stage.cloud.said("delete")) > asked
        assert [one.state for one in stage.run.leases] == [LeaseState.CLOSED, LeaseState.HELD]


def test_nothing_is_done_beside_a_run_whose_step_is_over(stage: Stage) -> None:
    begin_running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)

    stage.engine.drive_beside(RUN_ID)

    assert stage.run.state is State.RUNNING


class FullJournal(Journal):
    """A store on a disk that may be full."""

    is_full = False

    def save(self, *args: Any, **options: Any) -> Run:
        if self.is_full:
            raise HomeError("the store cannot be written: database or disk is full")
        return super().save(*args, **options)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Stage]:
    """A stage whose disk is full as soon as `is_full` is set."""
    journal = FullJournal(f"sqlite:///{tmp_path / 'full.sqlite'}")
    yield Stage(journal, tmp_path / "home")
    journal.close()


def drive_on_a_full_disk(stage: Stage, seconds: float) -> None:
    assert isinstance(stage.journal, FullJournal)
    stage.journal.is_full = True
    end_s = stage.clock.now_s() + seconds
    while stage.clock.now_s() < end_s:
        pause_s: float | None = 5.0
        with suppress(HomeError):
            pause_s = stage.engine.drive(RUN_ID)
        stage.clock.advance(max(pause_s or 0.0, 0.01))
    stage.journal.is_full = False


def test_a_full_disk_keeps_no_machine_beyond_its_cap(full: Stage) -> None:
    begin_running(full)
    alive_s: list[float] = []
    delete = full.cloud.delete_machine

    def note(machine_id: str) -> None:
        alive_s.append(full.clock.now_s() - NOW_S)
        delete(machine_id)

    full.cloud.delete_machine = note  # type: ignore[method-assign]
    drive_on_a_full_disk(full, 7200)
    assert full.run.state is State.RUNNING, "nothing could be written"
    pauses_s = [later - earlier for earlier, later in itertools.pairwise(alive_s)]
    assert min(pauses_s) >= 30

    assert Decimal(alive_s[0]) / 3600 * Decimal("0.60") <= CAP_USD
    full.until(lambda run: not run.is_open)
    assert full.first.state is LeaseState.CLOSED
    assert full.first.returned_by == "provider"
    assert full.first.cost_usd(full.clock.now_s()) <= CAP_USD


@pytest.mark.parametrize("state", [LeaseState.HELD, LeaseState.RETURNING])
def test_a_return_that_began_or_that_a_person_wants_at_once_goes_on_with_a_full_disk(
    full: Stage, state: LeaseState
) -> None:
    begin_running(full)
    if state is LeaseState.RETURNING:
        moved = full.run.with_lease(full.first.move(state)).move(State.RETURNING, NOW_S)
        full.journal.save(full.run, replace(moved, outcome=Outcome.FAILED), [], [], NOW_S)
    full.journal.wish(RUN_ID, Wish.CANCEL_NOW)

    drive_on_a_full_disk(full, 60)

    assert "m1" in full.cloud.gone_s


def test_a_full_disk_ends_no_machine_that_may_stay_and_rents_none(full: Stage) -> None:
    full.begin_held(State.BOOTING, {"host_key": HOST_KEY}, cap_usd=Decimal(5))
    full.cloud.machines["m1"] = replace(full.cloud.machines["m1"], status=MachineStatus.FAILED)

    drive_on_a_full_disk(full, 60)

    assert not full.cloud.said("delete") and not full.cloud.said("create")


def test_a_process_that_knows_an_older_state_ends_nothing_on_a_full_disk(full: Stage) -> None:
    begin_running(full)
    before = full.run
    moved = before.with_lease(before.leases[0].move(LeaseState.RETURNING))
    full.journal.save(before, replace(before, heard_s=NOW_S + 1), [], [], NOW_S)
    full.clock.advance(10_000)
    assert isinstance(full.journal, FullJournal)
    full.journal.is_full = True

    with pytest.raises(HomeError):
        full.engine.save(before, moved, [])

    assert not full.cloud.said("delete")
