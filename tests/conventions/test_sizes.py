from __future__ import annotations

import ast

from tests.conventions.source import functions, python_files

FILE_LINES = 400
FUNCTION_LINES = 60


def too_long(name: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    found = [f"{name}: {lines} lines"] if lines > FILE_LINES else []
    for function in functions(ast.parse(text)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES:
            found.append(f"{name}:{function.lineno} {function.name}: {length} lines")
    return found


def test_a_file_has_400_lines_at_most_and_a_function_60() -> None:
    found = [
        problem
        for name, text in python_files("orchestrator", "jobs", "infra")
        for problem in too_long(name, text)
    ]

    assert not found, "\n".join(found)


def test_a_function_of_61_lines_is_found() -> None:
    text = "def long():\n" + "    pass\n" * 60

    assert too_long("x.py", text) == ["x.py:1 long: 61 lines"]
    assert too_long("x.py", text[: -len("    pass\n")]) == []
