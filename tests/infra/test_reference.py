from __future__ import annotations

import re

from infra.reference import PAGE, reference
from orchestrator.cli.group import load_command
from orchestrator.cli.index import COMMANDS
from tests.conventions.test_readme import section


def test_the_reference_is_what_the_code_says() -> None:
    told = reference()

    assert PAGE.read_text(encoding="utf-8") == told, "write it again: python -m infra.reference"


def test_every_command_and_every_option_is_in_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for entry in COMMANDS:
        _, _, rest = page.partition(f"#### `gpulease {entry.name}")
        told = rest.partition("\n#### ")[0]
        for parameter in load_command(entry.name).params:
            if parameter.name != "help" and parameter.param_type_name == "option":
                for name in parameter.opts:
                    assert re.search(rf"`{name}[ `]", told), f"{entry.name} {name}"


def test_exit_codes_mean_the_same_in_the_readme() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("## ")[0]
    told = dict(re.findall(r"\| (\d+) \| ([^|]+) (?=\|)", page))
    readme = dict(re.findall(r"\| (\d+) \| ([^|]+) (?=\|)", section("Exit codes")))

    assert readme and {code: told[code] for code in readme} == readme
