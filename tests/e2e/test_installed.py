"""A job from an installed wheel: no checkout is near, and programs, locks and guard come along."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import __version__
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person
from tests.e2e.refused import tickets
from tests.e2e.versions import install

pytestmark = [pytest.mark.slow, pytest.mark.training, pytest.mark.timeout(900)]


@pytest.fixture
def installed(person: Person, tmp_path: Path) -> Person:
    """Somebody who typed `pip install gpulease`, and has no checkout."""
    person.command = (str(install(tmp_path / "installed", __version__)),)
    person.env.pop("PYTHONPATH", None)
    return person


@pytest.mark.parametrize("provider", ["runpod", "local"])
def test_a_model_is_trained_by_an_installed_gpulease(
    provider: str, installed: Person, cloud: Cloud
) -> None:
    job = tickets(installed)

    ended = installed.types("submit", job, "--provider", provider, "--yes", "--json", limit_s=800)

    assert ended.code == 0, ended.err + installed.driver_log()
    receipt = ended.json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", provider)
    assert 0.0 <= receipt["metrics"]["eval_accuracy"] <= 1.0
    home = Path(receipt["artifacts_dir"])
    assert (home / "model" / "config.json").exists()
    assert receipt["returned"]["proven"] is True
    if provider == "runpod":
        books_agree(receipt, installed, cloud)
