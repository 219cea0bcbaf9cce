"""The agent runs on machines whose Python may be 3.8, with nothing installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conventions.source import PACKAGE, PROJECT, imported, python_files

OLDEST = (3, 8)
AGENT = list(python_files("orchestrator/agent"))


@pytest.mark.parametrize(("name", "text"), AGENT, ids=[name for name, _ in AGENT])
def test_the_agent_is_python_3_8_by_its_grammar(name: str, text: str) -> None:
    ast.parse(text, name, feature_version=OLDEST)


def test_the_agent_calls_nothing_newer_than_python_3_8() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    options = ["--target=3.8-", "--violations", "--no-tips"]

    result = subprocess.run(
        [vermin, *options, PACKAGE / "agent"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout


def test_the_agent_can_be_imported_by_python_3_8_where_there_is_one() -> None:
    find = [sys.executable, "-m", "uv", "python", "find", "3.8", "--no-python-downloads"]
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this computer has no Python 3.8")

    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, _ in AGENT
        if not name.endswith("/__main__.py")
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    result = subprocess.run(
        [found.stdout.strip(), "-c", code, *modules], cwd=PROJECT, capture_output=True, check=False
    )

    assert result.returncode == 0, result.stderr.decode()


def test_the_agent_imports_the_standard_library_only() -> None:
    found = [
        f"{name}:{line} imports {module}"
        for name, text in AGENT
        for line, module in imported(ast.parse(text))
        if module.split(".")[0] not in sys.stdlib_module_names
        and not module.startswith("orchestrator.agent.")
    ]

    assert not found, "\n".join(found)
