from __future__ import annotations

import pytest

from orchestrator.errors import UsageError
from orchestrator.lifecycle.finding import find_run, free_name, open_run
from orchestrator.runs.states import State
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, run


def add(
    journal: Journal, run_id: str, name: str, state: State = State.RUNNING, at: int = 0
) -> None:
    made = run(run_id, name=name, state=state, created_s=NOW_S + at)
    journal.add(made, [], lambda _: None, 0.0)


def find(journal: Journal, reference: str, *, for_change: bool = False) -> str:
    return find_run(journal, reference, for_change=for_change)


def test_a_run_is_a_prefix_a_name_or_last(journal: Journal) -> None:
    add(journal, "aaaa1111", "one")
    add(journal, "bbbb2222", "two", at=1)

    assert [find(journal, word) for word in ("aaaa", "two", "last")] == [
        "aaaa1111",
        "bbbb2222",
        "bbbb2222",
    ]


def test_an_open_run_of_a_name_wins_and_then_the_newest(journal: Journal) -> None:
    add(journal, "aaaa1111", "one", State.ENDED)
    add(journal, "cccc3333", "one", State.ENDED, at=2)
    assert find(journal, "one") == "cccc3333"

    add(journal, "bbbb2222", "one", at=1)

    assert find(journal, "one") == "bbbb2222"
    assert open_run(journal, "one") == "bbbb2222"
    assert (free_name(journal, "one"), free_name(journal, "two")) == ("one-2", "two")


@pytest.mark.parametrize(("word", "problem"), [("zz", "no run is 'zz'"), ("aaaa", "2 runs fit")])
def test_what_fits_none_or_several_is_refused(journal: Journal, word: str, problem: str) -> None:
    add(journal, "aaaa1111", "one")
    add(journal, "aaaa2222", "two")

    with pytest.raises(UsageError, match=problem):
        find(journal, word)


def test_a_change_of_last_needs_that_there_is_only_one(journal: Journal) -> None:
    with pytest.raises(UsageError, match="no run yet"):
        find(journal, "last")
    add(journal, "aaaa1111", "one")
    assert find(journal, "last", for_change=True) == "aaaa1111"

    add(journal, "bbbb2222", "two")

    with pytest.raises(UsageError, match="more than one run is open"):
        find(journal, "last", for_change=True)
