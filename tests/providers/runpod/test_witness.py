from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.errors import ProviderDown
from orchestrator.providers.runpod.witness import ids_by_sdk, sdk_python

KEY = SecretStr("rpa_SECRET")
URL = "http://127.0.0.1:9/graphql"

Interpreter = Callable[[str], str]


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    """Something that is started as a Python, keeps what it was told, and ends as the test says."""

    def make(ends: str) -> str:
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/argv\ncat >{tmp_path}/stdin\n{ends}\n')
        path.chmod(0o700)
        return str(path)

    return make


def test_the_sdk_is_told_key_and_address_on_its_stdin_alone(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    found = ids_by_sdk(interpreter("""echo '["a", "b"]'"""), KEY, URL)

    assert found == {"a", "b"}
    assert "rpa_SECRET" not in (tmp_path / "argv").read_text()
    assert (tmp_path / "stdin").read_text() == f'{{"key": "rpa_SECRET", "url": "{URL}"}}'


@pytest.mark.parametrize(
    ("ends", "problem"),
    [
        ("echo AuthenticationError >&2; exit 1", "AuthenticationError"),
        ("echo no json", "JSONDecodeError"),
        ("echo '{}'", "no reason"),
    ],
)
def test_an_sdk_that_fails_proves_nothing(
    interpreter: Interpreter, ends: str, problem: str
) -> None:
    with pytest.raises(ProviderDown, match=problem):
        ids_by_sdk(interpreter(ends), KEY, URL)


def test_the_default_install_has_no_sdk() -> None:
    assert sdk_python() is None
