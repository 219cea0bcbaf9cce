from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.pip_to_uv import uv_environment
from tests.conventions.source import PROJECT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this checkout makes."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, PROJECT],
        check=True,
        capture_output=True,
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it requires."""
    place = tmp_path_factory.mktemp("elsewhere") / "venv"
    environment = os.environ | uv_environment()

    def uv(*arguments: str | Path) -> None:
        command = [sys.executable, "-m", "uv", *arguments]
        subprocess.run(command, check=True, env=environment, cwd=place.parent)

    uv("venv", "--quiet", "--python", sys.executable, place)
    uv("pip", "install", "--quiet", "--python", place, wheel)
    return place / "bin"
