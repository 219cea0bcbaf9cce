from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from orchestrator.clock import FakeClock
from orchestrator.errors import NotifyError
from orchestrator.lifecycle.announcing import Announcer, messages_between, to_waiting
from orchestrator.notify.message import Event
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, RUN_ID, lease, run


def held(**changes: object) -> Run:
    """A run that burns $0.60/h since NOW_S under a cap of $1."""
    one = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S, began_s=NOW_S)
    one = replace(one, usd_per_hour=Decimal("0.60"))
    return replace(run(leases=(one,), cap_usd=Decimal(1)), **changes)  # type: ignore[arg-type]


def ids(before: Run, after: Run, now_s: float) -> list[str]:
    return [message.id for message in messages_between(before, after, now_s)]


def test_a_start_is_told_when_the_program_runs() -> None:
    before, after = held(state=State.SETTING_UP), held(state=State.RUNNING)

    assert ids(before, after, NOW_S) == [f"{RUN_ID}.started"]
    assert ids(after, after, NOW_S) == []


def test_the_start_of_a_program_that_was_never_seen_running_is_told() -> None:
    before = held(state=State.SETTING_UP)
    ended = held(state=State.COLLECTING, progress={"step": 0.0})
    never_started = held(state=State.COLLECTING)

    assert ids(before, ended, NOW_S) == [f"{RUN_ID}.started"]
    assert ids(before, never_started, NOW_S) == []
    assert ids(held(state=State.RUNNING), ended, NOW_S) == []


def test_each_share_of_the_cap_is_told_under_one_id() -> None:
    running = held(state=State.RUNNING)

    shares = [ids(running, running, NOW_S + hours * 3600) for hours in (0.5, 0.9, 1.0, 1.4, 1.6)]

    assert shares == [
        [],
        [f"{RUN_ID}.cap.0.5"],
        [f"{RUN_ID}.cap.0.5"],
        [f"{RUN_ID}.cap.0.8"],
        [f"{RUN_ID}.cap.0.95"],
    ]


def test_a_return_that_is_refused_for_ten_minutes_is_told() -> None:
    (one,) = held().leases
    back = replace(one, state=LeaseState.RETURNING, return_since_s=NOW_S)
    returning = held(state=State.RETURNING, leases=(back,))

    assert ids(returning, returning, NOW_S + 600) == []
    (message,) = messages_between(returning, returning, NOW_S + 601)
    assert message.event is Event.NOT_RETURNED
    assert message.facts["machine"] == {"provider": "runpod", "id": "m1", "label": one.label}


def test_the_end_tells_how_it_ended() -> None:
    (one,) = held().leases
    gone = replace(one, state=LeaseState.CLOSED, gone_s=NOW_S + 60, returned_by="provider")
    ended = held(
        state=State.ENDED,
        outcome=Outcome.FAILED,
        failure=Failure("job_failed", "the program ended with exit code 3"),
        leases=(gone,),
        ended_s=NOW_S + 60,
    )

    (message,) = messages_between(held(state=State.RETURNING), ended, NOW_S + 60)

    told = json.loads(to_waiting(message).body)
    assert (told["event"], told["outcome"], told["exit_code"]) == ("run.finished", "failed", 1)
    assert told["problem"] == "the program ended with exit code 3"
    assert (told["spent_upper_usd"], told["returned"]) == ("0.01", {"proven": True})


class Receiver:
    """Refuses while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.told: list[str] = []

    def post(self, message_id: str, body: bytes, now_s: float) -> None:
        if self.down:
            raise NotifyError("the webhook answered 503")
        self.told.append(message_id)


def test_what_is_refused_is_told_later_and_once(journal: Journal) -> None:
    journal.add(held(), [], lambda _: None, 0)
    read = journal.run(RUN_ID)
    running = replace(read, state=State.RUNNING)
    messages = messages_between(read, running, NOW_S)
    journal.save(read, running, [], [], NOW_S, [to_waiting(one) for one in messages])
    clock, receiver = FakeClock(NOW_S), Receiver()
    announcer = Announcer(journal, clock, receiver.post)

    receiver.down = True
    assert announcer.tell().stays
    clock.advance(2.0)
    announcer.tell()
    receiver.down = False
    clock.advance(9.0)
    assert announcer.tell().stays and receiver.told == []
    clock.advance(1.0)
    assert not announcer.tell().stays

    assert receiver.told == [f"{RUN_ID}.started"]


def test_nobody_stays_for_a_receiver_that_is_gone_and_a_day_is_the_end(journal: Journal) -> None:
    journal.add(held(), [], lambda _: None, 0)
    read = journal.run(RUN_ID)
    running = replace(read, state=State.RUNNING)
    messages = messages_between(read, running, NOW_S)
    journal.save(read, running, [], [], NOW_S, [to_waiting(one) for one in messages])
    clock, receiver = FakeClock(NOW_S), Receiver()
    receiver.down = True
    announcer = Announcer(journal, clock, receiver.post)

    clock.advance(901)
    assert not announcer.tell().stays
    assert len(journal.waiting_messages()) == 1
    clock.advance(86_400)
    announcer.tell()

    assert journal.waiting_messages() == []
