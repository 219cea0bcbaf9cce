"""What only few modules may do: name a provider, read a clock, open a connection."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.conventions.source import PACKAGE, imported, python_files, within

# A folder of providers/ is named for its provider; its public name may be shorter.
PROVIDERS = {
    path.name for path in (PACKAGE / "providers").iterdir() if (path / "__init__.py").is_file()
} | {"runpod", "lambda", "vast", "paperspace", "ssh"}

CLOCKS = ("orchestrator/clock.py", "orchestrator/agent/")
_CLOCK_MODULES = {"time", "sched"}
_CLOCK_CALLS = {"now", "utcnow", "today"}

# module: who may import it. Everything that leaves this process goes through one of these.
CONNECTIONS = {
    "httpx": (
        "orchestrator/providers/",
        "orchestrator/sizing/",
        "orchestrator/notify/",
        "orchestrator/artifacts/download.py",
        "orchestrator/artifacts/probe.py",
    ),
    "http": ("orchestrator/agent/", "orchestrator/server/"),
    "urllib.request": ("orchestrator/agent/",),
    "urllib3": (),
    "requests": (),
    "aiohttp": (),
    "asyncio": (),
    "huggingface_hub": ("orchestrator/sizing/",),
    "boto3": ("orchestrator/artifacts/",),
    "botocore": ("orchestrator/artifacts/",),
    "paramiko": ("orchestrator/remote/",),
    "fabric": ("orchestrator/remote/",),
    "socket": (
        "orchestrator/remote/",
        "orchestrator/agent/",
        "orchestrator/providers/ssh_host/",
        "orchestrator/lifecycle/",  # the driver's unix socket
    ),
    "socketserver": ("orchestrator/lifecycle/",),
}


def provider_compared(name: str, text: str) -> Iterator[str]:
    """Comparisons and match cases with a provider's name outside that provider's folder."""
    for node in ast.walk(ast.parse(text)):
        compared: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        for expression in compared:
            for leaf in ast.walk(expression):
                if isinstance(leaf, ast.Constant) and leaf.value in PROVIDERS:
                    yield f"{name}:{leaf.lineno} compares with {leaf.value!r}"


def clock_read(name: str, text: str) -> Iterator[str]:
    """Imports of a clock's module, and datetime's ways to ask for the time."""
    tree = ast.parse(text)
    for line, module in imported(tree):
        if module.split(".")[0] in _CLOCK_MODULES:
            yield f"{name}:{line} imports {module}"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _CLOCK_CALLS
            and ast.unparse(node.func.value).split(".")[-1] in {"datetime", "date"}
        ):
            yield f"{name}:{node.lineno} calls {ast.unparse(node.func)}"


def connection_opened(name: str, text: str) -> Iterator[str]:
    """Imports of something that opens connections, where that is not the module's work."""
    tree = ast.parse(text)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for line, module in imported(ast.Module([node], [])):
            for connection, places in CONNECTIONS.items():
                if f"{module}.".startswith(f"{connection}.") and not within(name, places):
                    yield f"{name}:{line} imports {module}"


def over_package(
    check: Callable[[str, str], Iterator[str]], *, except_in: tuple[str, ...] = ()
) -> list[str]:
    return [
        problem
        for name, text in python_files("orchestrator")
        if not within(name, except_in)
        for problem in check(name, text)
    ]


def test_no_provider_is_compared_by_name() -> None:
    own = tuple(f"orchestrator/providers/{provider}/" for provider in PROVIDERS)
    found = over_package(provider_compared, except_in=own)

    assert not found, "\n".join(found)


def test_only_the_clock_modules_read_a_clock() -> None:
    found = over_package(clock_read, except_in=CLOCKS)

    assert not found, "\n".join(found)


def test_only_named_modules_open_connections() -> None:
    found = over_package(connection_opened)

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("check", "planted"),
    [
        (provider_compared, "if provider.name == 'runpod': pass"),
        (provider_compared, "free = name in ('local', 'vast')"),
        (provider_compared, "match name:\n    case 'lambda':\n        pass"),
        (clock_read, "import time"),
        (clock_read, "from time import monotonic"),
        (clock_read, "import datetime\ndatetime.datetime.now()"),
        (clock_read, "from datetime import date\ndate.today()"),
        (connection_opened, "import httpx"),
        (connection_opened, "def f():\n    from urllib.request import urlopen"),
        (connection_opened, "from http.client import HTTPConnection"),
        (connection_opened, "import socket"),
    ],
)
def test_a_planted_breach_is_found(
    check: Callable[[str, str], Iterator[str]], planted: str
) -> None:
    assert list(check("orchestrator/spec/x.py", planted))


@pytest.mark.parametrize(
    ("check", "innocent"),
    [
        (provider_compared, "PROVIDERS = {'runpod': 'orchestrator.providers.runpod:make'}"),
        (clock_read, "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)"),
        (connection_opened, "from urllib.parse import quote"),
        (connection_opened, "if TYPE_CHECKING:\n    import httpx"),
    ],
)
def test_what_is_allowed_is_left_alone(
    check: Callable[[str, str], Iterator[str]], innocent: str
) -> None:
    assert list(check("orchestrator/spec/x.py", innocent)) == []
