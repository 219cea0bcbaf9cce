from __future__ import annotations

from pathlib import Path

from orchestrator.errors import MissingCredentials
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_a_key_from_stdin_is_tried_and_kept(
    gpulease: Gpulease, app: FakeApp, tmp_path: Path
) -> None:
    ended = gpulease("login", "runpod", "--json", stdin="rpa_secret\n")

    assert ended.code == 0
    assert app.called("verify_key") == [("runpod", "rpa_secret")]
    assert ended.json()["identity"] == "user:u1"
    config = tmp_path / "config.toml"
    assert 'RUNPOD_API_KEY = "rpa_secret"' in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    assert "rpa_secret" not in ended.out + ended.err


def test_a_refused_key_is_not_kept(gpulease: Gpulease, app: FakeApp, tmp_path: Path) -> None:
    app.errors["verify_key"] = MissingCredentials("runpod refuses this key")

    assert gpulease("login", "runpod", stdin="wrong\n").code == 4
    assert not (tmp_path / "config.toml").exists()


def test_a_secret_of_a_job_is_kept_under_its_own_name(
    gpulease: Gpulease, app: FakeApp, tmp_path: Path
) -> None:
    assert gpulease("login", "WANDB_API_KEY", stdin="w\n").code == 0
    assert app.called("verify_key") == []
    assert "WANDB_API_KEY" in (tmp_path / "config.toml").read_text()


def test_an_unknown_provider_and_an_empty_key_are_usage_errors(gpulease: Gpulease) -> None:
    unknown = gpulease("login", "runpot", stdin="x\n")

    assert unknown.code == 2
    assert "runpod" in unknown.err
    assert gpulease("login", "runpod", stdin="\n").code == 2
