from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.providers.base import ProviderSettings
from orchestrator.providers.registry import build, provider_names, surfaces, to_accounts
from orchestrator.remote.hosts import Host
from orchestrator.spec.job import PROVIDERS

ACCOUNTS = to_accounts(provider_names(), ["tower"])


def settings(home: Path) -> ProviderSettings:
    return ProviderSettings(home=home, key=SecretStr("k"), host=Host("tower", "192.0.2.1"))


def test_a_job_may_name_every_provider_that_there_is() -> None:
    assert set(PROVIDERS.words) == set(provider_names())


@pytest.mark.parametrize("name", ACCOUNTS)
def test_every_provider_is_built_under_its_name(name: str, tmp_path: Path) -> None:
    assert build(name, settings(tmp_path)).name == name


@pytest.mark.parametrize("name", ACCOUNTS)
def test_every_provider_declares_how_a_machine_ends_itself(name: str, tmp_path: Path) -> None:
    capabilities = build(name, settings(tmp_path)).capabilities

    assert capabilities.guard
    assert capabilities.settle_s >= capabilities.list_lag_s


def test_own_hosts_are_meant_all_or_by_name() -> None:
    hosts = ["tower", "attic"]

    assert to_accounts(["ssh_host", "local"], hosts) == [
        "ssh_host:tower",
        "ssh_host:attic",
        "local",
    ]
    assert to_accounts(["ssh_host:attic", "ssh_host:attic"], hosts) == ["ssh_host:attic"]


@pytest.mark.parametrize(
    ("word", "hosts", "hint"),
    [("ssh_host", [], "[hosts.NAME]"), ("ssh_host:cellar", ["tower"], "known are tower")],
)
def test_a_host_that_the_config_file_does_not_name_is_a_usage_error(
    word: str, hosts: list[str], hint: str
) -> None:
    with pytest.raises(UsageError, match="the config file has no host") as caught:
        to_accounts([word], hosts)
    assert hint in caught.value.hint


def test_an_unknown_provider_is_a_usage_error_that_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build("runpot", ProviderSettings(home=tmp_path))
    assert "runpod" in caught.value.hint


def test_a_missing_key_names_the_command_that_saves_it(tmp_path: Path) -> None:
    with pytest.raises(MissingCredentials) as caught:
        build("runpod", ProviderSettings(home=tmp_path))
    assert caught.value.hint == "gpulease login runpod"


@pytest.mark.parametrize("surface", surfaces("runpod"))
def test_every_surface_can_be_set_and_is_checked(surface: str, tmp_path: Path) -> None:
    elsewhere = {surface: "http://elsewhere.example/"}
    with pytest.raises(UsageError, match="in clear"):
        build("runpod", ProviderSettings(home=tmp_path, key=SecretStr("k"), urls=elsewhere))


def test_the_registry_imports_no_provider() -> None:
    code = (
        "import sys, orchestrator.providers.registry as r; r.provider_names();"
        "print(*sorted(m for m in sys.modules if m.startswith('orchestrator.providers.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [
        "orchestrator.providers.base",
        "orchestrator.providers.doubts",
        "orchestrator.providers.registry",
    ]
