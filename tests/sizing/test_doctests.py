from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["fit", "flops", "hub", "memory", "shape"])
def test_examples_in_docstrings_hold(module: str) -> None:
    results = doctest.testmod(import_module(f"orchestrator.sizing.{module}"))

    assert results.attempted > 0
    assert results.failed == 0
