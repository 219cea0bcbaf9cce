from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.conventions.source import python_files, within

MUST_EXPLAIN = (
    "orchestrator/sizing/",
    "orchestrator/offers/",
    "orchestrator/budget/",
    "orchestrator/providers/base.py",
    "orchestrator/agent/protocol.py",
)
FIRST_LINE = 88


def unexplained(name: str, text: str) -> Iterator[str]:
    """Public functions and methods of public classes without a docstring."""
    module = ast.parse(text)
    public = [
        node
        for node in module.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    for body in [module.body, *(one.body for one in public)]:
        for node in body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                if not (docstring := ast.get_docstring(node)):
                    yield f"{name}:{node.lineno} {node.name} has no docstring"
                elif len(docstring.splitlines()[0]) > FIRST_LINE:
                    yield f"{name}:{node.lineno} {node.name}: first line over {FIRST_LINE}"


def modules_with_examples() -> list[str]:
    return [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, text in python_files("orchestrator", "infra", "tests/conventions")
        if "    >>> " in text and name != "tests/conventions/test_docstrings.py"
    ]


def test_money_sizes_and_the_two_contracts_are_explained() -> None:
    found = [
        problem
        for name, text in python_files("orchestrator")
        if within(name, MUST_EXPLAIN)
        for problem in unexplained(name, text)
    ]

    assert not found, "\n".join(found)


def test_a_function_without_a_docstring_is_found() -> None:
    text = "class Price:\n    def tick_usd(self): return 1\n    def _own(self): return 2\n"

    assert list(unexplained("x.py", text)) == ["x.py:2 tick_usd has no docstring"]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(import_module(name))

    assert result.failed == 0
    assert result.attempted > 0
