from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store.journal import Journal
from tests.lifecycle.steps.harness import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    journal = Journal(f"sqlite:///{tmp_path / 'gpulease.db'}")
    home = tmp_path / "run"
    home.mkdir()
    made = Stage(journal, home)
    yield made
    for run in journal.runs():
        made.world.forget_run(run)
    journal.close()
