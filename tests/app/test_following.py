from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app import App, SubmitOptions
from orchestrator.errors import HomeError, UsageError
from orchestrator.runs.states import LeaseState
from orchestrator.settings import load_settings
from orchestrator.store.home import open_home
from orchestrator.store.journal import Journal
from tests.app.homes import add, ended
from tests.lifecycle.jobs import own_code
from tests.runs.samples import NOW_S, lease


def test_an_unknown_run_is_refused(app: App, journal: Journal) -> None:
    add(journal, ended("aaaa0001", "tickets"))

    assert app.find("tickets") == "aaaa0001"
    with pytest.raises(UsageError, match="no run is 'other'"):
        app.find("other")
    with pytest.raises(UsageError, match="there is no run other"):
        app.view("other")


def test_an_ended_run_is_followed_once_with_its_whole_log(
    app: App, journal: Journal, home: Path
) -> None:
    add(journal, ended("aaaa0001"))
    folder = home / "runs" / "aaaa0001"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("one\ntwo, unfinished")

    views = list(app.follow("aaaa0001"))
    lines = [line for _, line in app.log_lines("aaaa0001", follow=True)]

    assert [view["outcome"] for view in views] == ["succeeded"]
    assert lines == ["one", "two, unfinished"]


def test_results_are_copied_to_where_the_person_wants_them(
    app: App, journal: Journal, home: Path, tmp_path: Path
) -> None:
    add(journal, ended("aaaa0001", "tickets"))
    with pytest.raises(UsageError, match="tickets brought nothing home"):
        app.pull("aaaa0001", tmp_path / "copy")
    artifacts = home / "runs" / "aaaa0001" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "metrics.json").write_text("{}")

    app.pull("aaaa0001", tmp_path / "copy")

    assert (tmp_path / "copy" / "metrics.json").read_text() == "{}"


def test_a_run_without_a_machine_has_no_login_and_nothing_to_close(
    app: App, journal: Journal
) -> None:
    gone = lease(
        "label-0", run_id="aaaa0001", state=LeaseState.CLOSED, machine_id="m1", gone_s=NOW_S
    )
    add(journal, replace(ended("aaaa0001"), leases=(gone,)))

    with pytest.raises(UsageError, match="no machine to log in to"):
        app.ssh_command("aaaa0001")
    with pytest.raises(UsageError, match="no machine on its way back"):
        app.close_seen_gone("aaaa0001")


def test_a_copied_home_is_read_only(home: Path, app: App, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    open_home(copied, computer="another computer")
    there = App(load_settings(copied, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))
    job = own_code(tmp_path, "providers: [local]\n")

    with pytest.raises(HomeError, match="read only"):
        there.submit(job, app.plan(job), SubmitOptions())
    with pytest.raises(HomeError, match="read only"):
        there.cancel("aaaa0001", now=True)
    with pytest.raises(HomeError, match="belongs to another computer"):
        there.ensure_driver("aaaa0001")
    assert there.runs(all_runs=True) == []
