from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.errors import BadCredentials, MissingCredentials
from orchestrator.settings import load_settings
from tests.lifecycle.jobs import own_code
from tests.providers.loopback_api import LoopbackApi, refusal


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


def test_a_home_in_the_folder_that_is_sent_stays_here_and_an_env_file_is_named(
    tmp_path: Path,
) -> None:
    job = own_code(tmp_path, "providers: [local]\n")
    code = tmp_path / "own"
    (code / ".env").write_text("TOKEN=x")
    (code / "config.toml").write_text("")
    settings = load_settings(code / ".gpulease", {"GPULEASE_CONFIG": str(code / "config.toml")})
    app = App(settings)

    shown = app.plan(job)

    assert (code / ".gpulease/home.json").exists()
    assert {one["path"] for one in shown["sends"]} == {"train.py", ".env"}
    assert any(one.endswith("is sent to the machine: .env") for one in shown["warnings"])
    assert not app.explain(job, str(code / ".gpulease/home.json")).is_sent
    assert [found for what, _, found, _ in app.check(job) if what == "secrets"]
