from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.archive import Archive, archive_at
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, lease, run


def ended(number: int, name: str) -> Run:
    keys = (f"l{number}-1", f"l{number}-0")  # their order is the run's, not the alphabet's
    run_id = f"run{number}"
    made = run(run_id, state=State.ENDED, outcome=Outcome.SUCCEEDED, created_s=NOW_S + number)
    back = lease(state=LeaseState.CLOSED, run_id=run_id)
    return replace(made, name=name, leases=tuple(replace(back, key=key, label=key) for key in keys))


@pytest.fixture
def filled(journal: Journal) -> Journal:
    for number, name in enumerate(["tickets", "run_x%", "tickets"]):
        entry = Entry(NOW_S + number, f"run{number}", EntryKind.ACCRUED, Decimal("0.25"), "l", "n")
        journal.add(ended(number, name), [entry], lambda _: None, 0.0)
    return journal


def test_it_reads_what_the_journal_reads(filled: Journal, url: str) -> None:
    archive = archive_at(url)
    assert archive is not None

    assert archive.runs() == filled.runs()
    assert archive.runs(limit=1) == filled.runs(limit=1)
    assert archive.run("run1") == filled.run("run1")
    assert archive.entries() == filled.entries()
    assert archive.entries(since_s=NOW_S + 1) == filled.entries(since_s=NOW_S + 1)
    for reference in ("run", "run1", "tickets", "run_", "run%", "RUN1", "x"):
        assert archive.find_ids(reference) == filled.find_ids(reference), reference
    with pytest.raises(KeyError):
        archive.run("nobody")


def test_a_store_with_an_open_run_takes_a_journal(filled: Journal, url: str) -> None:
    assert isinstance(archive_at(url), Archive)

    filled.add(run(), [], lambda _: None, 0.0)

    assert archive_at(url) is None


def test_only_this_version_s_own_file_is_read_like_this(filled: Journal, tmp_path: Path) -> None:
    filled.close()
    path = tmp_path / "gpulease.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()

    assert archive_at(f"sqlite:///{path}") is None
    assert archive_at(f"sqlite:///{tmp_path / 'none.db'}") is None
    assert archive_at("postgresql://db/gpulease") is None
    (tmp_path / "notes.db").write_text("no store at all\n" * 100)
    assert archive_at(f"sqlite:///{tmp_path / 'notes.db'}") is None
