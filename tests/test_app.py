from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.app import App, SubmitOptions
from orchestrator.errors import BadCredentials, HomeError, MissingCredentials, UsageError
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.settings import load_settings
from orchestrator.spec.resources import Need
from orchestrator.store.home import open_home
from orchestrator.store.journal import Journal
from tests.lifecycle.jobs import own_code
from tests.providers.loopback_api import LoopbackApi, refusal
from tests.runs.samples import NOW_S, lease, run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def app(home: Path, tmp_path: Path) -> App:
    return App(load_settings(home, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))


@pytest.fixture
def journal(app: App, home: Path) -> Iterator[Journal]:
    """The store of the app's home, as another process would open it."""
    opened = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    yield opened
    opened.close()


def add(journal: Journal, made: Run) -> Run:
    return journal.add(made, [], lambda _: None, 0.0)


def ended(run_id: str, name: str = "", *, age_s: float = 0.0) -> Run:
    made = run(run_id, state=State.ENDED, outcome=Outcome.SUCCEEDED, created_s=NOW_S - age_s)
    return replace(made, name=name or made.name)


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


def test_a_plan_on_this_computer_costs_nothing(app: App, tmp_path: Path) -> None:
    shown = app.plan(own_code(tmp_path, "providers: [local]\n"))

    assert {one["provider"] for one in shown["offers"]} == {"local"}
    assert (shown["worst_usd"], shown["suggested_cap_usd"]) == ("0.00", "0.00")
    assert "costs nothing" in shown["guards"][0]


def test_without_a_key_nothing_is_planned(app: App, tmp_path: Path) -> None:
    with pytest.raises(MissingCredentials, match="no provider has a key") as caught:
        app.plan(own_code(tmp_path))
    assert caught.value.hint == (
        "gpulease login runpod, or set RUNPOD_API_KEY, or --provider local"
    )


def test_a_refused_key_is_looked_for_where_it_came_from(home: Path, tmp_path: Path) -> None:
    api = LoopbackApi(lambda _: refusal(401, "invalid api key"))
    app = App(load_settings(home, {"GPULEASE_RUNPOD_URL": api.url, "RUNPOD_API_KEY": "rpa_x"}))

    with pytest.raises(BadCredentials) as caught:
        app.plan(own_code(tmp_path, "providers: [runpod]\n"))
    api.close()

    assert caught.value.hint == (
        "correct RUNPOD_API_KEY in the environment, or unset it and gpulease login runpod"
    )


def test_a_secret_without_a_value_is_refused_before_anything_is_rented(
    app: App, tmp_path: Path
) -> None:
    job = own_code(tmp_path, "providers: [local]\nsecrets: [WANDB_API_KEY]\n")

    with pytest.raises(MissingCredentials, match="WANDB_API_KEY") as caught:
        app.plan(job)

    assert caught.value.hint == "gpulease login WANDB_API_KEY, or set it in the environment"


def test_an_empty_home_has_no_runs_machines_or_spending(app: App) -> None:
    assert app.runs(all_runs=True) == []
    assert app.machines() == ([], [])
    assert app.reap(delete=False, past_deadline=False, report=print) == ([], [])
    assert app.month_usd() == (Decimal(0), Decimal(0), Decimal(100))
    assert app.offers(Need(), []) == ([], [])


def test_a_copied_home_is_read_only(home: Path, app: App, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    open_home(copied, computer="another computer")
    there = App(load_settings(copied, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))
    job = own_code(tmp_path, "providers: [local]\n")

    with pytest.raises(HomeError, match="read only"):
        there.submit(job, app.plan(job), SubmitOptions())
    with pytest.raises(HomeError, match="read only"):
        there.cancel("aaaa0001", now=True)
    assert there.runs(all_runs=True) == []


def test_a_key_is_verified_only_for_a_known_provider(app: App) -> None:
    with pytest.raises(UsageError, match="nobody is no provider"):
        app.verify_key("nobody", "key")
