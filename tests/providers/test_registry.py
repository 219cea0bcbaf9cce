from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.providers.base import ProviderSettings
from orchestrator.providers.registry import build, provider_names, surfaces


@pytest.mark.parametrize("name", provider_names())
def test_every_provider_is_built_under_its_name(name: str, tmp_path: Path) -> None:
    provider = build(name, ProviderSettings(home=tmp_path, key=SecretStr("k")))

    assert provider.name == name


@pytest.mark.parametrize("name", provider_names())
def test_every_provider_declares_how_a_machine_ends_itself(name: str, tmp_path: Path) -> None:
    capabilities = build(name, ProviderSettings(home=tmp_path, key=SecretStr("k"))).capabilities

    assert capabilities.guard
    assert capabilities.settle_s >= capabilities.list_lag_s


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
    settings = ProviderSettings(
        home=tmp_path, key=SecretStr("k"), urls={surface: "http://elsewhere.example/"}
    )
    with pytest.raises(UsageError, match="in clear"):
        build("runpod", settings)


def test_the_registry_imports_no_provider() -> None:
    code = (
        "import sys, orchestrator.providers.registry as r; r.provider_names();"
        "print(*sorted(m for m in sys.modules if m.startswith('orchestrator.providers.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["orchestrator.providers.base", "orchestrator.providers.registry"]
