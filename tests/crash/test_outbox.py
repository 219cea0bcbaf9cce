"""The outbox, with its driver killed at every point at which that makes a difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.clock import FakeClock
from orchestrator.errors import NotifyError
from orchestrator.lifecycle.announcing import Announcer
from orchestrator.runs.states import State
from orchestrator.store.journal import Journal
from orchestrator.store.outbox import Waiting
from tests.crash.life import Killed, Life, deaths
from tests.crash.mortal import MortalJournal
from tests.runs.samples import NOW_S, RUN_ID, run


class Receiver:
    """Takes nothing the first times."""

    def __init__(self, life: Life, taken: list[str], refuses: list[int]) -> None:
        self._life, self._taken, self._refuses = life, taken, refuses

    def post(self, message_id: str, body: bytes, now_s: float) -> None:
        self._life.around("post", lambda: self._take(message_id))

    def _take(self, message_id: str) -> None:
        if self._refuses[0]:
            self._refuses[0] -= 1
            raise NotifyError("the webhook answered 503")
        self._taken.append(message_id)


def test_a_driver_that_dies_anywhere_while_it_tells_tells_all_of_it(tmp_path: Path) -> None:
    def perform(name: str, dies_at: int | None) -> tuple[list[str], list[str]]:
        url = f"sqlite:///{tmp_path / name}.sqlite"
        with_two_messages(url)
        first, taken, refuses = Life(dies_at), list[str](), [2]
        clock = FakeClock(NOW_S)
        for life in (first, Life()):
            if tells_all(url, life, clock, Receiver(life, taken, refuses)):
                return first.passed, taken
        raise AssertionError("nobody lived to tell")

    passed, quietly = perform("quiet", None)
    assert quietly == ["a", "b"]
    assert {"before message_done", "before message_again"} <= set(passed)

    for point in deaths(passed):
        _, taken = perform(f"at-{point}", point)
        assert set(taken) == {"a", "b"} and len(taken) <= 3  # told twice has one id
        again = Journal(f"sqlite:///{tmp_path / f'at-{point}'}.sqlite")
        assert again.waiting_messages() == []
        again.close()


def with_two_messages(url: str) -> None:
    journal = Journal(url)
    journal.add(run(), [], lambda _: None, 0)
    read = journal.run(RUN_ID)
    messages = [Waiting(name, RUN_ID, b"{}", NOW_S) for name in ("a", "b")]
    journal.save(read, replace(read, state=State.RUNNING), [], [], NOW_S, messages)
    journal.close()


def tells_all(url: str, life: Life, clock: FakeClock, receiver: Receiver) -> bool:
    """One driver's life; false when it was killed."""
    journal = MortalJournal(url, life)
    announcer = Announcer(journal, clock, receiver.post)
    try:
        for _ in range(100):
            if not announcer.tell().stays:
                return True
            clock.advance(2.0)
    except Killed:
        return False
    finally:
        journal.close()
    raise AssertionError("messages are left")
