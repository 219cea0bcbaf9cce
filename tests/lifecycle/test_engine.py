from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.budget.ledger import Entry, EntryKind, accrued_usd, committed_usd
from orchestrator.clock import FakeClock
from orchestrator.errors import ProviderDown, RateLimited
from orchestrator.lifecycle.engine import STEPS, Engine
from orchestrator.providers.base import MachineStatus
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud, machine, world_of
from tests.runs.samples import NOW_S, RUN_ID, lease, run

HELD = lease(
    "label-0", state=LeaseState.HELD, account="", machine_id="m1", sent_s=NOW_S, began_s=NOW_S
)
BACK = HELD.move(LeaseState.RETURNING)


@pytest.fixture
def cloud() -> SmallCloud:
    return SmallCloud([machine(label="label-0")])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_S)


@pytest.fixture
def engine(journal: Journal, cloud: SmallCloud, clock: FakeClock) -> Engine:
    return Engine(journal, world_of(cloud, clock))


def add(journal: Journal, made: Run) -> Run:
    committed = Entry(NOW_S, RUN_ID, EntryKind.COMMITTED, Decimal(5), "label-0")
    return journal.add(made, [committed], lambda _: None, 0.0)


def returning() -> Run:
    return run(state=State.RETURNING, outcome=Outcome.SUCCEEDED, leases=(BACK,))


def looking() -> Run:
    return run(state=State.LOOKING, leases=(lease("label-1", account="", sent_s=NOW_S),))


def drive_to_end(engine: Engine, clock: FakeClock) -> None:
    for _ in range(20):
        seconds = engine.drive(RUN_ID)
        if seconds is None:
            return
        clock.advance(seconds)
    raise AssertionError("the run does not end")


def test_every_state_until_the_end_has_a_step() -> None:
    assert set(State) - set(STEPS) == {State.ENDED}


def test_a_returning_run_ends_and_nothing_stays_committed(
    journal: Journal, engine: Engine, clock: FakeClock
) -> None:
    add(journal, returning())
    clock.advance(1800)

    drive_to_end(engine, clock)

    entries = journal.entries(run_id=RUN_ID)
    ended = journal.run(RUN_ID)
    assert (ended.state, ended.leases[0].state) == (State.ENDED, LeaseState.CLOSED)
    assert committed_usd(entries) == 0
    assert accrued_usd(entries) == ended.upper_usd(clock.now_s()) >= Decimal("0.30")
    assert [entry.kind for entry in entries] == [
        EntryKind.COMMITTED,
        EntryKind.ACCRUED,
        EntryKind.RELEASED,
        EntryKind.RELEASED,
    ]


def test_a_machine_that_cost_more_than_was_committed_frees_no_more_than_that(
    journal: Journal, engine: Engine, clock: FakeClock
) -> None:
    add(journal, returning())
    clock.advance(36_000)

    drive_to_end(engine, clock)

    entries = journal.entries(run_id=RUN_ID)
    assert committed_usd(entries) == 0
    assert accrued_usd(entries) >= Decimal("6.00")


def test_the_move_of_another_process_wins_and_nothing_is_lost(
    journal: Journal, engine: Engine, cloud: SmallCloud, clock: FakeClock
) -> None:
    add(journal, returning())

    def other_process() -> None:
        cloud.before_get = lambda: None
        known = journal.run(RUN_ID)
        journal.save(known, known.note("said by another process"), [], [], NOW_S)

    cloud.before_get = other_process

    assert engine.drive(RUN_ID) == 0.0
    kept = journal.run(RUN_ID)
    assert kept.notes == ("said by another process",) and kept.leases[0].delete_tries == 0

    drive_to_end(engine, clock)
    assert journal.run(RUN_ID).notes == ("said by another process",)
    assert cloud.machines == {}


def test_a_providers_error_becomes_a_wait_that_grows(
    journal: Journal, engine: Engine, cloud: SmallCloud
) -> None:
    add(journal, looking())
    cloud.fault = ProviderDown("no answer", hint="see its status page")

    waits = [engine.drive(RUN_ID) for _ in range(6)]

    after = journal.run(RUN_ID)
    assert waits == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0]
    assert (after.waiting, after.notes) == ("no answer", ("no answer (see its status page)",))
    assert after.leases[0].is_open


@pytest.mark.parametrize(("asked_s", "waited_s"), [(0.2, 1.0), (40.0, 40.0), (3600.0, 60.0)])
def test_a_provider_that_says_for_how_long_is_left_alone_within_reason(
    journal: Journal, engine: Engine, cloud: SmallCloud, asked_s: float, waited_s: float
) -> None:
    add(journal, looking())
    cloud.fault = RateLimited("too many calls", retry_after_s=asked_s)

    assert engine.drive(RUN_ID) == waited_s


def test_our_own_fault_in_a_step_becomes_a_wait_and_a_note(
    journal: Journal, engine: Engine, cloud: SmallCloud
) -> None:
    add(journal, run(state=State.LOOKING, leases=(lease("label-0", account="", sent_s=NOW_S),)))
    cloud.fault = ZeroDivisionError("a slip")

    assert engine.drive(RUN_ID) == 1.0

    after = journal.run(RUN_ID)
    assert after.state is State.LOOKING
    assert (
        after.waiting == after.notes[0] == ("our own fault in looking: ZeroDivisionError: a slip")
    )


def test_a_slip_in_a_return_keeps_nobody_from_watching_the_run_itself(
    journal: Journal, engine: Engine, cloud: SmallCloud
) -> None:
    booting = replace(HELD, key="label-1", label="label-1", machine_id="m2")
    add(journal, run(state=State.BOOTING, leases=(BACK, booting)))
    cloud.machines["m2"] = replace(machine("m2", "label-1"), status=MachineStatus.FAILED)
    cloud.before_get = lambda: (_ for _ in ()).throw(ZeroDivisionError("a slip"))

    engine.drive(RUN_ID)

    after = journal.run(RUN_ID)
    assert after.state is State.PLANNED
    assert after.leases[1].state is LeaseState.RETURNING
    assert "our own fault in a return: ZeroDivisionError: a slip" in after.notes


def test_a_step_that_works_again_forgets_the_trouble(
    journal: Journal, engine: Engine, cloud: SmallCloud, clock: FakeClock
) -> None:
    add(journal, looking())
    cloud.capabilities = replace(cloud.capabilities, settle_s=60.0)
    cloud.fault = ProviderDown("no answer")
    assert [engine.drive(RUN_ID), engine.drive(RUN_ID)] == [1.0, 2.0]
    cloud.fault = None
    engine.drive(RUN_ID)
    cloud.fault = ProviderDown("no answer")
    clock.advance(10)

    assert engine.drive(RUN_ID) == 1.0


def test_a_run_that_is_over_is_not_driven_again(journal: Journal, engine: Engine) -> None:
    closed = BACK.move(LeaseState.CLOSED, gone_s=NOW_S)
    over = add(journal, replace(returning(), state=State.ENDED, leases=(closed,)))

    assert engine.drive(RUN_ID) is None
    assert journal.run(RUN_ID) == over


def test_a_save_without_a_change_writes_nothing(journal: Journal, engine: Engine) -> None:
    known = add(journal, returning())

    assert engine.save(known, known, []) is known
    assert journal.run(RUN_ID).version == known.version


def test_what_others_are_told_is_written_with_the_change(
    journal: Journal, cloud: SmallCloud, clock: FakeClock, engine: Engine
) -> None:
    add(journal, returning())
    telling = Engine(journal, world_of(cloud, clock), tells=True)

    drive_to_end(telling, clock)

    assert [message.id for message in journal.waiting_messages()] == [f"{RUN_ID}.finished"]


def test_nobody_is_told_where_there_is_no_webhook(
    journal: Journal, clock: FakeClock, engine: Engine
) -> None:
    add(journal, returning())

    drive_to_end(engine, clock)

    assert journal.waiting_messages() == []
