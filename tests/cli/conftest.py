"""One command line after another, in this process, over a FakeApp."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from tests.cli.fake_app import FakeApp

GOLDEN = Path(__file__).parent.parent / "golden" / "cli"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer


Gpulease = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a config file of the test's own; a narrow, colourless page."""
    for name in list(os.environ):
        if name.startswith("GPULEASE_") or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GPULEASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GPULEASE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def log_levels() -> Iterator[None]:
    """`-v` sets up the logging of the whole process: put it back."""
    ours = logging.getLogger("orchestrator")
    level, handlers = ours.level, list(logging.root.handlers)
    yield
    ours.setLevel(level)
    logging.root.handlers[:] = handlers


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
def gpulease(
    home: Path,
    log_levels: None,
    app: FakeApp,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Gpulease:
    """Run `gpulease ARGUMENTS`; there is no terminal, stdin holds `stdin`."""

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(arguments, lambda settings: app)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    """A job without a cap."""
    path = tmp_path / "job.yaml"
    path.write_text('kind: finetune\nname: tickets\ncode: {path: ., command: "python train.py"}\n')
    return str(path)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with tests/golden/cli/NAME; UPDATE_GOLDEN=1 writes it anew."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()

    return compare
