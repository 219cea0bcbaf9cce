"""CONTRACT.md says of every error what the code says."""

from __future__ import annotations

import inspect
import re
from importlib.resources import files

from orchestrator import errors
from orchestrator.errors import ProviderError, Recovery
from orchestrator.providers.base import Provider

TEXT = (files("orchestrator.providers") / "CONTRACT.md").read_text()
ERRORS = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ProviderError) and kind is not ProviderError
}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its two head lines."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_has_every_provider_error_and_no_other() -> None:
    assert [row[0].strip("`| ") for row in rows("What a call may end with")] != []
    named = {row[0].strip("`| ") for row in rows("What a call may end with")}

    assert named == set(ERRORS)


def test_the_recovery_of_each_error_is_the_codes() -> None:
    for name, _, recovery, _ in rows("What a call may end with"):
        assert ERRORS[name.strip("`| ")].recovery is Recovery[recovery.strip("`")]


def test_nothing_was_rented_is_said_where_the_code_goes_on() -> None:
    for name, means, recovery, _ in rows("What a call may end with"):
        if recovery.strip("`") in ("NEXT_OFFER", "STOP"):
            assert "nothing was rented" in means, name


def test_the_five_calls_are_those_of_the_protocol() -> None:
    calls = {row[0].strip("`| ") for row in rows("Which call may end with which")} - {"every call"}

    assert calls == {name for name in vars(Provider) if not name.startswith("_")} - {
        "name",
        "capabilities",
    }


def test_every_error_belongs_to_some_call() -> None:
    told = " ".join(row[1] for row in rows("Which call may end with which"))

    assert set(re.findall(r"`(\w+)`", told)) == set(ERRORS)


def test_what_create_may_raise_is_in_its_docstring_too() -> None:
    told = next(r[1] for r in rows("Which call may end with which") if "create" in r[0])
    docstring = Provider.create_machine.__doc__ or ""

    may, never = told.split("; never")
    assert all(name in docstring for name in re.findall(r"`(\w+)`", may))
    assert "ProviderDown" in never
    assert "ProviderDown" not in docstring
