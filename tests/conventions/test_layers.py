from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.conventions.source import PACKAGE, PROJECT


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--config",
            "pyproject.toml",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def planted(tmp_path: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The real contracts over a package of empty layers and `files`."""
    contracts = (PROJECT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(contracts)
    layers = tomllib.loads(contracts)["tool"]["importlinter"]["contracts"][0]["layers"]
    modules = [name.strip() for line in layers for name in line.split("|") if "(" not in name]
    empty = {f"{module}.py": "" for module in modules if f"{module}/__init__.py" not in files}
    for name, text in ({"__init__.py": ""} | empty | files).items():
        path = tmp_path / "orchestrator" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return lint_imports(tmp_path)


def test_imports_keep_to_the_layers() -> None:
    result = lint_imports(PROJECT)

    assert result.returncode == 0, result.stdout


def test_an_import_against_the_layers_is_found(tmp_path: Path) -> None:
    result = planted(tmp_path, {"spec.py": "import orchestrator.budget"})

    assert result.returncode == 1
    assert "orchestrator.spec is not allowed to import orchestrator.budget" in result.stdout


def test_a_folder_without_a_layer_is_found(tmp_path: Path) -> None:
    result = planted(tmp_path, {"news.py": ""})

    assert result.returncode == 1
    assert "orchestrator.news" in result.stdout


def test_of_the_agent_only_the_protocol_may_be_imported(tmp_path: Path) -> None:
    agent = {"agent/__init__.py": "", "agent/protocol.py": "", "agent/runner.py": ""}

    allowed = planted(tmp_path, {**agent, "runs.py": "from orchestrator.agent import protocol"})
    refused = planted(tmp_path, {**agent, "runs.py": "from orchestrator.agent import runner"})

    assert allowed.returncode == 0, allowed.stdout
    assert refused.returncode == 1
    assert "orchestrator.agent.runner" in refused.stdout


def test_no_module_has_a_name_that_says_nothing() -> None:
    says_nothing = re.compile(r"(.*_)?(utils?|helpers?|common|misc|manager)")
    found = [str(path) for path in PACKAGE.rglob("*") if says_nothing.fullmatch(path.stem)]

    assert not found, "\n".join(found)
