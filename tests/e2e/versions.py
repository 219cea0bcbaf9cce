"""gpulease in other versions than this checkout's: built as wheels, each in an environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from infra.pip_to_uv import uv_environment
from orchestrator import __version__
from orchestrator.agent.protocol import PROTOCOL
from orchestrator.store.schema import SCHEMA
from tests.conventions.source import PROJECT, tracked

NEXT_SCHEMA = f"{int(SCHEMA) + 1:04d}"

_MIGRATION = f'''\
"""A column that this checkout knows nothing of."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_SCHEMA}"
down_revision = "{SCHEMA}"


def upgrade() -> None:
    op.add_column("runs", sa.Column("mood", sa.Text, nullable=False, server_default="good"))
'''


def install(place: Path, version: str, *, next_schema: bool = False) -> Path:
    """The `gpulease` command of a version, installed from its wheel.

    Args:
        next_schema: it has one migration more, and its agent speaks one protocol more.
    """
    source, dist, venv = place / "source", place / "dist", place / "venv"
    for path in tracked():
        target = source / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    _replace(source / "orchestrator/__init__.py", f'"{__version__}"', f'"{version}"')
    _replace(source / "pyproject.toml", f'version = "{__version__}"', f'version = "{version}"')
    if next_schema:
        store = source / "orchestrator/store"
        _replace(store / "documents.py", f'SCHEMA = "{SCHEMA}"', f'SCHEMA = "{NEXT_SCHEMA}"')
        (store / f"migrations/versions/{NEXT_SCHEMA}_mood.py").write_text(_MIGRATION)
        protocol = source / "orchestrator/agent/protocol.py"
        _replace(protocol, f"\nPROTOCOL = {PROTOCOL}\n", f"\nPROTOCOL = {PROTOCOL + 1}\n")
    environment = os.environ | uv_environment()
    python = sys.executable
    build: list[str | Path] = [
        python,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        dist,
        source,
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    made: list[str | Path] = ["venv", "--quiet", "--python", python, venv]
    filled: list[str | Path] = ["pip", "install", "--quiet", "--python", venv, wheel]
    for arguments in (made, filled):
        command = [python, "-m", "uv", *arguments]
        subprocess.run(command, check=True, env=environment, cwd=place)
    return venv / "bin" / "gpulease"


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert len(re.findall(re.escape(old), text)) == 1, f"{path} does not say {old} once"
    path.write_text(text.replace(old, new))
