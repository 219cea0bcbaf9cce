from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(f"sqlite:///{tmp_path / 'gpulease.db'}")
    yield opened
    opened.close()


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder with a short path: a socket's may not be long."""
    with tempfile.TemporaryDirectory(prefix="gl-") as made:
        yield Path(made)
