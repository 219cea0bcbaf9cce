"""Work folders for the agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.remote.render import agent_zipapp
from tests.agent.work_folder import WorkFolder


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    """A work folder whose agent, and all that came of it, is gone after the test."""
    folder = WorkFolder(tmp_path / "gpulease" / "machine", agent_zipapp())
    yield folder
    if folder.path.exists():
        assert folder.call("kill").returncode == 0
