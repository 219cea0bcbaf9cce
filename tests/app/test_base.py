from __future__ import annotations

import pytest

from orchestrator.app import App
from orchestrator.errors import UsageError
from orchestrator.store.journal import Journal
from tests.app.homes import add, ended


def test_a_run_is_shown_with_where_its_log_and_results_are(app: App, journal: Journal) -> None:
    add(journal, ended("aaaa0001", "tickets"))

    shown = app.view("aaaa0001")

    assert shown["name"] == "tickets"
    assert shown["artifacts_dir"].endswith("/runs/aaaa0001/artifacts")


def test_a_run_that_is_not_there_is_refused(app: App, journal: Journal) -> None:
    with pytest.raises(UsageError, match="there is no run other"):
        app.view("other")
