"""The contract that every provider keeps, over its simulator.

A new provider is a bench, and its name in `benches.py`. What differs is in `Capabilities` and in
what its simulator can break, never in a provider's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Bench
from tests.contract.benches import BENCHES, CLOUDS


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Every provider in turn."""
    with BENCHES[request.param](tmp_path) as made:
        yield made


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Every provider with an API and a bill."""
    with CLOUDS[request.param](tmp_path) as made:
        yield made


@pytest.fixture(params=[*CLOUDS, "ssh_host"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Every provider that lets nobody in without the right key."""
    with BENCHES[request.param](tmp_path) as made:
        yield made
