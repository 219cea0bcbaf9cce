from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import orchestrator.cli.commands as commands
from orchestrator.cli.group import load_command
from orchestrator.cli.index import COMMANDS, Entry
from tests.cli.conftest import Gpulease

MODULES = {path.stem for path in Path(inspect.getfile(commands)).parent.glob("[a-z]*.py")} - {
    "arguments"
}


def test_every_command_file_is_in_the_index() -> None:
    assert {entry.name for entry in COMMANDS} == MODULES


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_loads_and_explains_itself(entry: Entry, gpulease: Gpulease) -> None:
    ended = gpulease(entry.name, "--help")

    assert ended.code == 0
    assert f"Usage: gpulease {entry.name}" in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    assert load_command(entry.name).name == entry.name


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_no_command_is_longer_than_40_lines(entry: Entry) -> None:
    path = Path(inspect.getfile(commands)).parent / f"{entry.name}.py"
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.body[0].lineno <= 40, node.name


def test_a_misspelt_command_is_met_with_the_nearest(gpulease: Gpulease) -> None:
    ended = gpulease("sumbit", "job.yaml")

    assert ended.code == 2
    assert "did you mean `submit`?" in ended.err


def test_a_wrong_option_is_a_usage_error_in_the_form_asked_for(gpulease: Gpulease) -> None:
    ended = gpulease("ps", "--nope", "--json")

    assert ended.code == 2
    assert ended.json()["error"]["hint"] == "gpulease ps --help"
