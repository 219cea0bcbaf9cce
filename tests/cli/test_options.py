from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.options import GlobalOptions, take_global_options
from orchestrator.errors import UsageError


@pytest.mark.parametrize("place", [0, 1, 2])
def test_they_are_found_before_and_after_the_command(place: int) -> None:
    arguments = ["ps", "--all"]
    arguments[place:place] = ["--json", "--home", "there", "-vv", "--no-color"]

    options, rest = take_global_options(arguments)

    assert options == GlobalOptions(json=True, home=Path("there"), verbose=2, no_color=True)
    assert rest == ["ps", "--all"]


def test_what_follows_two_dashes_is_the_remote_commands() -> None:
    options, rest = take_global_options(["ssh", "last", "--", "run", "--json", "--home"])

    assert not options.json
    assert rest == ["ssh", "last", "--", "run", "--json", "--home"]


def test_home_needs_a_folder() -> None:
    with pytest.raises(UsageError, match="--home needs a folder"):
        take_global_options(["ps", "--home"])
