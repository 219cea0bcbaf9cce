from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.cli.help import help_page
from orchestrator.cli.index import COMMANDS

HEAVY = ("rich", "pydantic", "httpx", "sqlalchemy", "paramiko", "boto3", "typer", "yaml", "ruamel")
LOADED = (
    "import sys; from orchestrator.cli.main import main; code = main(sys.argv[1:]);"
    " print(sorted(name.split('.')[0] for name in sys.modules), file=sys.stderr); sys.exit(code)"
)


def modules_after(*arguments: str) -> str:
    """The first names of all modules that a command line has imported."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True
    )
    return done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), (), ("--version",)])
def test_the_first_page_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(*arguments)

    assert [name for name in HEAVY if f"'{name}'" in loaded] == []


def test_the_page_of_a_command_imports_typer_alone() -> None:
    loaded = modules_after("submit", "--help")

    assert [name for name in HEAVY if f"'{name}'" in loaded] == ["typer"]


def test_the_page_fits_80_columns_and_names_every_command() -> None:
    page = help_page()

    assert all(len(line) <= 80 for line in page.splitlines())
    assert all(f"\n  {entry.name} " in page for entry in COMMANDS if entry.group)
    assert page.count("\n  gpulease ") == 3
