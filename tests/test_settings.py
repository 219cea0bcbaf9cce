from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Event

import pytest

from orchestrator.budget.ledger import Limits
from orchestrator.errors import HomeError, MissingCredentials, UsageError
from orchestrator.settings import (
    KeyringVault,
    Secret,
    Settings,
    load_settings,
)


class FakeVault:
    """A keyring in memory; `works` is whether it keeps anything."""

    def __init__(self, *, works: bool = True) -> None:
        self.kept: dict[str, str] = {}
        self.works = works

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    def set(self, name: str, value: str) -> bool:
        if self.works:
            self.kept[name] = value
        return self.works


Load = Callable[..., Settings]


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault()


@pytest.fixture
def load(tmp_path: Path, vault: FakeVault) -> Load:
    """Settings from the test's own home, config file and keyring, and an environment."""

    def begin(config: str | None = None, *, mode: int = 0o600, **env: str) -> Settings:
        path = tmp_path / "config.toml"
        if config is not None:
            path.write_text(config)
            path.chmod(mode)
        places = {"GPULEASE_HOME": str(tmp_path / "home"), "GPULEASE_CONFIG": str(path)}
        return load_settings(env={**places, **env}, vault=vault)

    return begin


def test_nothing_set_gives_the_documented_defaults(load: Load, tmp_path: Path) -> None:
    settings = load()

    assert settings.limits == Limits(Decimal(100), 4, Decimal(10))
    assert settings.database_url == f"sqlite:///{tmp_path}/home/gpulease.sqlite"
    assert settings.hf_endpoint == "https://huggingface.co"
    assert settings.clock_file is None
    assert settings.provider_url("runpod") is None
    assert settings.ssh_user("runpod") is None


def test_without_any_setting_the_users_own_folders_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    settings = load_settings(env={}, vault=FakeVault())

    assert settings.home.is_relative_to(tmp_path) and settings.home.name == "gpulease"
    assert settings.config_file.is_relative_to(tmp_path)
    assert settings.config_file.parts[-2:] == ("gpulease", "config.toml")


def test_home_on_the_command_line_wins(tmp_path: Path) -> None:
    env = {"GPULEASE_HOME": "/elsewhere", "GPULEASE_CONFIG": str(tmp_path / "config.toml")}

    assert load_settings(Path("there"), env=env).home == Path.cwd() / "there"


def test_addresses_and_login_names_come_from_the_environment(load: Load) -> None:
    settings = load(
        GPULEASE_RUNPOD_URL="http://127.0.0.1:1",
        GPULEASE_RUNPOD_GRAPHQL_URL="http://127.0.0.1:2",
        GPULEASE_RUNPOD_SSH_USER="tester",
        GPULEASE_DATABASE_URL="postgresql://u:secret@db/x",
        HF_ENDPOINT="http://127.0.0.1:3/",
    )

    assert settings.provider_url("runpod") == "http://127.0.0.1:1"
    assert settings.provider_url("runpod", "graphql") == "http://127.0.0.1:2"
    assert settings.ssh_user("runpod") == "tester"
    assert settings.hf_endpoint == "http://127.0.0.1:3"
    assert "secret" not in repr(settings)


def test_a_port_of_sshd_is_one_or_refused(load: Load) -> None:
    assert load().ssh_port("lambda") is None
    assert load(GPULEASE_LAMBDA_SSH_PORT="2222").ssh_port("lambda") == 2222
    for word in ("0", "65536", "-1", "ssh", "²²"):
        with pytest.raises(UsageError, match="GPULEASE_LAMBDA_SSH_PORT is no port"):
            load(GPULEASE_LAMBDA_SSH_PORT=word).ssh_port("lambda")


def test_limits_are_never_read_from_the_environment(load: Load) -> None:
    settings = load(GPULEASE_MONTH_USD="9999", GPULEASE_LIMITS_MONTH_USD="9999")

    assert settings.limits == Limits()


def test_a_key_is_looked_for_in_the_environment_then_keyring_then_file(
    load: Load, vault: FakeVault
) -> None:
    config = '[credentials]\nA_KEY = "from file"\n'
    assert load(config).credential("B_KEY") is None

    found = []
    for env in ({}, {"A_KEY": " from env\n"}):
        for kept in ({}, {"A_KEY": "from keyring"}):
            vault.kept = dict(kept)
            credential = load(config, **env).credential("A_KEY")
            assert credential is not None
            found.append((credential.value.get_secret_value(), credential.source))

    assert found == [
        ("from file", "config file"),
        ("from keyring", "keyring"),
        ("from env", "environment"),
        ("from env", "environment"),
    ]


def test_a_key_that_others_may_read_is_refused_with_the_fix(load: Load, tmp_path: Path) -> None:
    settings = load('[credentials]\nA_KEY = "x"\n', mode=0o644)

    with pytest.raises(MissingCredentials) as caught:
        settings.credential("A_KEY")

    assert caught.value.hint == f"chmod 600 {tmp_path}/config.toml"
    assert settings.credential("OTHER") is None


def test_a_key_that_changed_is_found_by_the_next_look(load: Load, vault: FakeVault) -> None:
    settings = load()
    assert settings.credential("A_KEY") is None

    vault.kept["A_KEY"] = "new"

    found = settings.credential("A_KEY")
    assert found is not None and found.value.get_secret_value() == "new"


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("rpa_secret")

    shown = f"{secret} {secret!r} {[secret]}"
    assert "rpa_secret" not in shown
    assert secret.get_secret_value() == "rpa_secret"


def test_a_saved_key_goes_to_the_keyring(load: Load, vault: FakeVault, tmp_path: Path) -> None:
    assert load().save_credential("A_KEY", "x") == "the keyring"
    assert vault.kept == {"A_KEY": "x"}
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize(
    "config",
    [
        None,
        "[limits]\nmachines = 2\n",
        '# mine\n[credentials]\nOTHER = "o"\n\n[limits]\nmachines = 2\n',
        '[credentials]\nA_KEY = "old"\nOTHER = "o"\n[limits]\nmachines = 2\n',
    ],
)
def test_without_a_keyring_the_file_keeps_it_and_every_other_line(
    load: Load, vault: FakeVault, tmp_path: Path, config: str | None
) -> None:
    vault.works = False
    settings = load(config, mode=0o644)

    place = settings.save_credential("A_KEY", 'new "quoted" \\ key')

    path = tmp_path / "config.toml"
    assert place == f"{path} (mode 0600)"
    assert path.stat().st_mode & 0o777 == 0o600
    credential = settings.credential("A_KEY")
    assert credential is not None
    assert credential.value.get_secret_value() == 'new "quoted" \\ key'
    kept = path.read_text().splitlines()
    assert all(line in kept for line in (config or "").splitlines() if "A_KEY" not in line)
    assert load().limits.machines == (4 if config is None else 2)


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "\x1b[31m"])
def test_what_is_no_key_is_not_kept(load: Load, value: str) -> None:
    with pytest.raises(UsageError):
        load().save_credential("A_KEY", value)


def test_a_layout_that_cannot_be_edited_is_left_alone(load: Load, vault: FakeVault) -> None:
    vault.works = False
    settings = load('credentials = { A_KEY = "old" }\n')

    with pytest.raises(HomeError, match="cannot be edited safely"):
        settings.save_credential("B_KEY", "x")
    assert settings.config_file.read_text() == 'credentials = { A_KEY = "old" }\n'


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1/v2", "http://[::1]:9/"]
)
def test_time_may_be_moved_beside_simulated_clouds(load: Load, url: str) -> None:
    settings = load(GPULEASE_CLOCK="/tmp/offset", GPULEASE_RUNPOD_URL=url)

    assert settings.clock_file == Path("/tmp/offset")


@pytest.mark.parametrize(
    "url", ["https://rest.runpod.io", "http://127.0.0.1.evil.example", "http://10.0.0.1", "x"]
)
def test_time_is_never_moved_beside_a_real_cloud(load: Load, url: str) -> None:
    with pytest.raises(HomeError, match="GPULEASE_VAST_URL is not on this computer"):
        load(
            GPULEASE_CLOCK="/tmp/offset",
            GPULEASE_RUNPOD_URL="http://127.0.0.1:1",
            GPULEASE_VAST_URL=url,
        )


def test_a_provider_without_a_simulated_address_has_no_key_while_time_is_moved(
    load: Load,
) -> None:
    settings = load(
        GPULEASE_CLOCK="/tmp/offset",
        GPULEASE_RUNPOD_URL="http://127.0.0.1:1",
        RUNPOD_API_KEY="a",
        LAMBDA_API_KEY="real",
        HF_TOKEN="b",
    )

    assert settings.credential("RUNPOD_API_KEY") is not None
    assert settings.credential("HF_TOKEN") is not None
    assert settings.credential("LAMBDA_API_KEY") is None


def test_a_computer_without_a_keyring_has_no_keys_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")

    vault = KeyringVault()

    assert vault.get("A_KEY") is None
    assert vault.set("A_KEY", "x") is False


def test_a_keyring_that_does_not_answer_holds_nobody_up() -> None:
    answer = Event()
    vault = KeyringVault(limit_s=0.05)

    assert vault._bounded(lambda: answer.wait(60)) is None
    assert vault._bounded(lambda: True) is None  # not asked beside it
    answer.set()


def test_a_keyring_that_was_slow_once_is_asked_again_when_it_has_answered() -> None:
    unlocked = Event()
    vault = KeyringVault(limit_s=0.05)

    assert vault._bounded(lambda: unlocked.wait(60)) is None
    unlocked.set()
    assert vault._asking is not None
    vault._asking.join(20)

    assert vault._bounded(lambda: "the key") == "the key"


def test_a_keyring_that_fails_is_asked_again() -> None:
    vault = KeyringVault()

    def fail() -> str:
        raise RuntimeError("locked")

    assert vault._bounded(fail) is None
    assert vault._bounded(lambda: "open now") == "open now"
