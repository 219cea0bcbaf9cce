from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["document", "explain", "limits", "model", "nearest"])
def test_examples_in_docstrings_hold(module: str) -> None:
    results = doctest.testmod(import_module(f"orchestrator.spec.{module}"))

    assert results.attempted > 0
    assert results.failed == 0
