from __future__ import annotations

from pathlib import Path

from orchestrator.runs.states import State
from orchestrator.store.glance import Glanced, glance
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, run


def test_the_newest_runs_are_seen_first(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'gpulease.sqlite'}")
    for number, state in enumerate([State.ENDED, State.RUNNING]):
        one = run(f"runid00{number}", name=f"n{number}", state=state, created_s=NOW_S + number)
        journal.add(one, [], lambda standing: None, 0.0)
    journal.close()

    assert glance(tmp_path) == [
        Glanced("runid001", "n1", "running", True),
        Glanced("runid000", "n0", "ended", False),
    ]


def test_no_home_no_store_and_a_spoilt_one_give_nothing_and_make_nothing(tmp_path: Path) -> None:
    assert glance(tmp_path / "nowhere") == []
    assert glance(tmp_path) == []
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "gpulease.sqlite").write_bytes(b"no database at all" * 100)
    assert glance(tmp_path) == []
