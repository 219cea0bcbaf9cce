"""What `doctor --uncertain` lists, and that each of it can be settled."""

from __future__ import annotations

import ast
import re

import pytest

from orchestrator.providers.registry import doubts, provider_names
from tests.conventions.source import PROJECT

WITH_DOUBTS = [name for name in provider_names() if doubts(name)]


def checks(provider: str) -> list[str]:
    text = (PROJECT / "tests" / "live" / f"test_{provider}.py").read_text()
    return [
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_cloud_says_what_nobody_has_tried() -> None:
    assert WITH_DOUBTS == ["runpod", "vast", "lambda", "paperspace"]
    assert doubts("ssh_host:tower") == ()


@pytest.mark.parametrize("provider", WITH_DOUBTS)
def test_each_doubt_has_a_check_that_settles_it_and_each_check_a_doubt(provider: str) -> None:
    keys = [doubt.key.replace("-", "_") for doubt in doubts(provider)]
    found = checks(provider)

    for key in keys:
        assert [name for name in found if key in name], f"no check for {key}"
    for name in found:
        assert any(key in name for key in keys), f"{name} is about no doubt"


@pytest.mark.parametrize("provider", WITH_DOUBTS)
def test_a_doubt_is_told_in_short_plain_sentences(provider: str) -> None:
    listed = doubts(provider)

    assert len({doubt.key for doubt in listed}) == len(listed)
    for doubt in listed:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", doubt.key)
        assert doubt.question.endswith("?")
        assert 10 < len(doubt.careful) < 120
