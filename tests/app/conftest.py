from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.settings import load_settings
from orchestrator.store.journal import Journal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def app(home: Path, tmp_path: Path) -> App:
    return App(load_settings(home, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))


@pytest.fixture
def journal(app: App, home: Path) -> Iterator[Journal]:
    """The store of the app's home, as another process would open it."""
    opened = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    yield opened
    opened.close()
