from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.clock import SystemClock
from orchestrator.errors import UsageError
from orchestrator.lifecycle.looking import Look
from orchestrator.runs.states import Outcome, State
from orchestrator.settings import load_settings
from orchestrator.store.archive import archive_at
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, run


def test_what_is_seen_is_what_the_app_says(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load_settings(home, {"XDG_CONFIG_HOME": str(tmp_path)})
    app = App(settings)
    journal = Journal(settings.database_url)
    now_s = SystemClock().now_s()
    for number in range(3):
        made = run(f"run{number}", state=State.ENDED, outcome=Outcome.FAILED, ended_s=NOW_S)
        made = replace(made, created_s=now_s - 10 + number)
        spent = Entry(now_s, made.id, EntryKind.ACCRUED, Decimal("0.25"))
        kept = Entry(now_s, made.id, EntryKind.COMMITTED, Decimal("0.50"))
        journal.add(made, [kept, spent], lambda _: None, 0.0)
    archive = archive_at(settings.database_url)
    assert archive is not None
    look = Look(archive, home, SystemClock())

    assert look.runs(all_runs=False) == app.runs(all_runs=False) == []
    assert look.runs(all_runs=True) == app.runs(all_runs=True)
    assert look.view("last") == app.view(app.find("last")) == app.view("run2")
    assert look.month_usd(settings.limits.month_usd) == app.month_usd()
    with pytest.raises(UsageError, match="no run is 'nobody'"):
        look.view("nobody")
    journal.close()
