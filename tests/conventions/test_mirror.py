"""orchestrator/x/y.py has tests/x/test_y.py; a package with code has a test in its folder."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.conventions.source import PROJECT, functions, python_files

NO_FILE_OF_ITS_OWN = {
    "orchestrator/__main__.py": "two lines; tests/packaging runs it",
    "orchestrator/wiring.py": "names classes together; every end-to-end test runs it",
    "orchestrator/store/migrations/env.py": "alembic's hook; the schema's tests run it",
}
ONE_TEST_FOR_MANY = {
    "orchestrator/store/migrations/versions/": "tests/store/test_schema.py",
}


def does_something(text: str) -> bool:
    """Whether a module has a function with a body: more than a docstring, `...` or a raise."""
    for function in functions(ast.parse(text)):
        for statement in function.body:
            constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not constant and not isinstance(statement, ast.Raise | ast.Pass):
                return True
    return False


def expected_test(name: str) -> str:
    """
    >>> expected_test("orchestrator/budget/caps.py")
    'tests/budget/test_caps.py'
    >>> expected_test("orchestrator/providers/runpod/__init__.py")
    'tests/providers/runpod/'
    """
    for place, test in ONE_TEST_FOR_MANY.items():
        if name.startswith(place):
            return test
    path = PurePosixPath(name)
    folder = PurePosixPath("tests", *path.parent.parts[1:])
    return f"{folder}/" if path.stem == "__init__" else f"{folder}/test_{path.name}"


def has_test(expected: str) -> bool:
    place = PROJECT / expected
    return any(place.glob("test_*.py")) if expected.endswith("/") else place.is_file()


def test_every_module_that_does_something_has_its_test_file() -> None:
    missing = [
        f"{name} has no {expected_test(name)}"
        for name, text in python_files("orchestrator")
        if does_something(text) and name not in NO_FILE_OF_ITS_OWN
        if not has_test(expected_test(name))
    ]

    assert not missing, "\n".join(missing)


def test_an_exemption_ends_with_its_file() -> None:
    gone = [name for name in NO_FILE_OF_ITS_OWN if not (PROJECT / name).is_file()]

    assert not gone, "\n".join(gone)


def test_a_protocol_does_nothing_and_a_property_does() -> None:
    assert not does_something("class A:\n    def f(self) -> int:\n        '''What it gives.'''\n")
    assert does_something("class A:\n    def f(self) -> int:\n        return 1\n")


def test_every_test_file_stands_for_something_that_exists() -> None:
    folders = {path.name for path in (PROJECT / "orchestrator").iterdir() if path.is_dir()}
    orphans = []
    for name, _ in python_files("tests"):
        path = PurePosixPath(name)
        if not path.name.startswith("test_") or path.parts[1] not in folders:
            continue
        source = PurePosixPath("orchestrator", *path.parent.parts[1:])
        if not (PROJECT / source).is_dir():
            orphans.append(f"{name}: there is no {source}/")

    assert not orphans, "\n".join(orphans)
