"""What the package imports is what it declares: nothing borrowed, nothing unused."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.conventions.source import PROJECT, imported, python_files

RUN_AS_A_PROGRAM = {"uv"}
# Their versions are the affair of those to which they belong.
PART_OF = {"pydantic-core": "pydantic", "botocore": "boto3"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"].values()
    return {
        normal(re.match(r"[\w.-]+", line)[0])  # type: ignore[index]  # a requirement has a name
        for line in [*project["dependencies"], *(one for extra in optional for one in extra)]
    }


def used() -> set[str]:
    """Distributions behind every import of the package, also the late ones."""
    distributions = packages_distributions()
    modules = {
        module.split(".")[0]
        for _, text in python_files("orchestrator")
        for _, module in imported(ast.parse(text))
    } - set(sys.stdlib_module_names) - {"orchestrator", "__future__"}  # fmt: skip
    names = {normal(name) for module in modules for name in distributions.get(module, [module])}
    return {PART_OF.get(name, name) for name in names}


def test_everything_that_is_imported_is_declared() -> None:
    borrowed = used() - declared()

    assert not borrowed


def test_everything_that_is_declared_is_used() -> None:
    unused = declared() - used() - RUN_AS_A_PROGRAM

    assert not unused
