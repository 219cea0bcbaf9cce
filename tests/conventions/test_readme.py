"""Every command that the README shows exists, with the options that it shows."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.errors import GpuleaseError
from tests.conventions.source import PROJECT, python_files

FENCE = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
JOINTS = {"|", "||", "&&", ";", "&", "(", ")"}
GLOBAL_OPTIONS = {"--json", "--home", "--version", "-v", "--help"}


def shell_lines(markdown: str) -> Iterator[str]:
    """Command lines of the shell blocks; in a block with `$ ` prompts only those lines."""
    for block in FENCE.findall(markdown):
        lines = block.replace("\\\n", " ").splitlines()
        prompts = [line[2:] for line in lines if line.startswith("$ ")]
        yield from prompts or (line for line in lines if line and not line.startswith("#"))


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, without assignments in front of them.

    >>> list(commands("cd x && A=1 gpulease ps --all | head # the open ones"))
    [['cd', 'x'], ['gpulease', 'ps', '--all'], ['head']]
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if word in JOINTS:
            if command:
                yield command
            command = []
        elif command or not re.match(r"[A-Za-z_]\w*=", word):
            command.append(word)


def shown() -> list[list[str]]:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return [command for line in shell_lines(text) for command in commands(line)]


@cache
def help_of(*program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *program, "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(program)} --help: {result.stderr}"
    return result.stdout


def section(title: str) -> str:
    """The README's text under a heading, up to the next one."""
    _, _, rest = (PROJECT / "README.md").read_text(encoding="utf-8").partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def codes_of(error: type[GpuleaseError]) -> set[str]:
    return {error.code}.union(*(codes_of(each) for each in error.__subclasses__()))


def written_codes(text: str) -> Iterator[str]:
    """Codes given where an error is made: `Failure("x", …)`, and `error.code = "x"`."""
    for node in ast.walk(ast.parse(text)):
        given: ast.expr | None = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Failure" and node.args:
            given = node.args[0]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(".code"):
            given = node.value
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield given.value


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def problem_with(command: list[str]) -> str | None:
    """Why a shown command of ours cannot work, None when it can or is not ours."""
    program, *words = command
    if program.rpartition("/")[2] == "make":
        targets = [word for word in words if "=" not in word and not word.startswith("-")]
        unknown = set(targets) - make_targets()
        return f"make has no target {', '.join(unknown)}" if unknown else None
    if program.rpartition("/")[2] != "gpulease":
        return None
    subcommands = [word for word in words if not word.startswith("-")]
    if not subcommands:
        return None
    try:
        text = help_of("orchestrator", subcommands[0])
    except AssertionError as error:
        return str(error)
    options = {word.split("=")[0] for word in words if word.startswith("--")} - GLOBAL_OPTIONS
    unknown = {word for word in options if not re.search(rf"{word}(?![\w-])", text)}
    return f"gpulease {subcommands[0]} has no {', '.join(unknown)}" if unknown else None


def test_every_command_in_the_readme_exists() -> None:
    found = [problem for command in shown() if (problem := problem_with(command))]

    assert not found, "\n".join(found)


def test_the_readme_lists_every_error_code() -> None:
    listed = set(re.findall(r"`([a-z_]+)`", section("`error.code`").partition("|---|")[2]))
    texts = [text for _, text in python_files("orchestrator")]
    written = {code for text in texts for code in written_codes(text)}

    assert listed == codes_of(GpuleaseError) | written


def test_the_readme_lists_every_exit_code() -> None:
    listed = set(re.findall(r"\| (\d+) (?=\|)", section("Exit codes")))

    assert listed == {str(int(code)) for code in ExitCode}


def test_the_readme_shows_how_to_set_up_test_and_try_it() -> None:
    asked = {word for command in shown() if command[0] == "make" for word in command[1:]}

    assert {"demo", "test"} <= asked


@pytest.mark.parametrize(
    "command", ["make everything", "gpulease sbmit job.yaml", "gpulease submit job.yaml --freely"]
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    assert problem_with(shlex.split(command))


def test_a_command_that_exists_is_left_alone() -> None:
    assert problem_with(["make", "demo"]) is None
    assert problem_with(["gpulease", "submit", "job.yaml", "--yes", "--json"]) is None
