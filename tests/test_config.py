from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import Limits
from orchestrator.config import Config, read_config, read_credential, write_credential
from orchestrator.errors import HomeError, MissingCredentials, UsageError
from orchestrator.remote.hosts import Host

Read = Callable[[str], Config]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def read(path: Path) -> Read:
    def begin(text: str) -> Config:
        path.write_text(text)
        return read_config(path)

    return begin


def lines_of(error: UsageError) -> list[str]:
    return [line.partition("config.toml:")[2] for line in error.problem.splitlines()]


def test_without_a_file_the_documented_defaults_hold(path: Path) -> None:
    assert read_config(path) == Config(Limits(Decimal(100), 4, Decimal(10)), {}, "")


def test_limits_are_exact_dollars(read: Read) -> None:
    config = read("[limits]\nmonth_usd = 0.1\nmachines = 2\nburn_usd_per_hour = 3\n")

    assert config.limits == Limits(Decimal("0.1"), 2, Decimal(3))


def test_own_hosts(read: Read) -> None:
    config = read('[hosts.tower]\nhost = "tower.lan"\nport = 2222\n[hosts.attic]\nhost = "a"\n')

    assert config.hosts == {
        "tower": Host("tower", "tower.lan", port=2222),
        "attic": Host("attic", "a"),
    }


def test_a_mistake_in_a_host_is_told_with_its_line(read: Read) -> None:
    with pytest.raises(UsageError) as caught:
        read(
            '[hosts.tower]\nhost = "tower"\nport = "22"\n[hosts.attic]\nuser = "ada"\n'
            "[hosts]\ncellar = 5\n"
        )

    assert [line.split(":")[0] for line in lines_of(caught.value)] == ["3", "4", "7"]


def test_the_webhooks_address_never_shows_itself(read: Read) -> None:
    config = read('[notify]\nwebhook = "https://chat.example/T0/secret"\n')

    assert config.webhook == "https://chat.example/T0/secret"
    assert "secret" not in repr(config)


@pytest.mark.parametrize("value", ['"ftp://a"', '"chat.example"', '"https://"', "5"])
def test_a_webhook_that_is_no_address_is_refused(read: Read, value: str) -> None:
    with pytest.raises(UsageError, match=r"config\.toml:2: 'webhook' must be an address"):
        read(f"[notify]\nwebhook = {value}\n")


@pytest.mark.parametrize("place", ["s3://team/gpulease/reaper.json", "/mnt/nas/reaper.json"])
def test_a_reapers_sign_of_life_has_a_place(read: Read, place: str) -> None:
    assert read(f'[reaper]\nheartbeat = "{place}"\n').heartbeat == place


@pytest.mark.parametrize("value", ['"s3://team"', '"reaper.json"', '"https://a/b"', "5"])
def test_a_place_that_is_none_is_refused(read: Read, value: str) -> None:
    with pytest.raises(UsageError, match=r"config\.toml:2: 'heartbeat' must "):
        read(f"[reaper]\nheartbeat = {value}\n")


def test_every_mistake_is_told_with_its_line(read: Read) -> None:
    with pytest.raises(UsageError) as caught:
        read(
            "limts = 1\n"
            "[limits]\n"
            'month_usd = "5"\n'
            "machines = true\n"
            "burn_usd_per_hour = -1\n"
            "month = 3\n"
            "[credentials]\n"
            "RUNPOD_API_KEY = 5\n"
        )

    lines = lines_of(caught.value)
    assert [line.split(":")[0] for line in lines] == ["1", "3", "4", "5", "6", "8"]
    assert "did you mean `limits`?" in lines[0]
    assert "number of 0 or more without quotes" in lines[1]
    assert "did you mean `month_usd`?" in lines[4]


@pytest.mark.parametrize("figure", ["nan", "inf", "-0.01"])
def test_a_limit_that_is_no_sum_is_refused(read: Read, figure: str) -> None:
    with pytest.raises(UsageError, match="'month_usd' must be dollars"):
        read(f"[limits]\nmonth_usd = {figure}\n")


@pytest.mark.parametrize("text", ["[limits\n", "[[limits]]\n", "limits = 3\n"])
def test_toml_of_the_wrong_shape_is_refused(read: Read, text: str) -> None:
    with pytest.raises(UsageError, match=r"config.toml"):
        read(text)


def test_a_file_that_cannot_be_read_is_said(path: Path) -> None:
    path.mkdir()

    with pytest.raises(UsageError, match="cannot be read"):
        read_config(path)


def test_a_credential_that_others_may_read_is_refused_with_the_fix(path: Path) -> None:
    path.write_text('[credentials]\nA_KEY = "x"\n')
    path.chmod(0o644)

    with pytest.raises(MissingCredentials) as caught:
        read_credential(path, "A_KEY")

    assert caught.value.hint == f"chmod 600 {path}"
    assert read_credential(path, "OTHER") == ""


def test_a_written_credential_is_read_again_and_closed_to_others(path: Path) -> None:
    write_credential(path, "A_KEY", 'new "quoted" \\ key')

    assert read_credential(path, "A_KEY") == 'new "quoted" \\ key'
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_layout_that_cannot_be_edited_is_left_alone(path: Path) -> None:
    path.write_text('credentials = { A_KEY = "old" }\n')

    with pytest.raises(HomeError, match="cannot be edited safely"):
        write_credential(path, "B_KEY", "x")
    assert path.read_text() == 'credentials = { A_KEY = "old" }\n'
