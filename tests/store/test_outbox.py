from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import StaleRun
from orchestrator.store.journal import Journal
from orchestrator.store.outbox import Waiting
from tests.runs.samples import NOW_S, RUN_ID, run

FIRST = Waiting("runid123.started", RUN_ID, b'{"n":1}', NOW_S)


def begun(journal: Journal) -> None:
    journal.add(run(), [], lambda _: None, 0)


def tell(journal: Journal, *messages: Waiting) -> None:
    read = journal.run(RUN_ID)
    journal.save(read, read.note(f"version {read.version}"), [], [], NOW_S, messages)


def test_a_message_waits_until_it_is_done_and_is_never_added_twice(journal: Journal) -> None:
    begun(journal)
    tell(journal, FIRST)
    tell(journal, FIRST)
    assert journal.waiting_messages() == [FIRST]

    journal.message_done(FIRST.id)
    tell(journal, FIRST)

    assert journal.waiting_messages() == []


def test_what_is_tried_again_comes_after_what_is_due(journal: Journal) -> None:
    begun(journal)
    second = replace(FIRST, id="runid123.finished")
    tell(journal, FIRST, second)

    journal.message_again(FIRST.id, NOW_S + 10)

    later = replace(FIRST, tries=1, next_s=NOW_S + 10)
    assert journal.waiting_messages() == [second, later]


def test_a_write_that_fails_tells_nobody(journal: Journal) -> None:
    begun(journal)
    read = journal.run(RUN_ID)
    tell(journal)

    with pytest.raises(StaleRun):
        journal.save(read, read.note("late"), [], [], NOW_S, [FIRST])

    assert journal.waiting_messages() == []
