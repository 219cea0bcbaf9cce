"""The contract that every provider keeps, over its simulator.

A new provider is a bench, a fixture here that makes it, and its name below. What differs is in
`Capabilities` and in what its simulator can break, never in a provider's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Bench
from tests.contract.lambda_cloud_bench import LambdaBench
from tests.contract.local_bench import LocalBench
from tests.contract.paperspace_bench import PaperspaceBench
from tests.contract.runpod_bench import RunPodBench
from tests.contract.ssh_host_bench import SshHostBench
from tests.contract.vast_bench import VastBench


@pytest.fixture
def runpod(tmp_path: Path) -> Iterator[RunPodBench]:
    with RunPodBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def lambda_cloud(tmp_path: Path) -> Iterator[LambdaBench]:
    with LambdaBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def vast(tmp_path: Path) -> Iterator[VastBench]:
    with VastBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def paperspace(tmp_path: Path) -> Iterator[PaperspaceBench]:
    with PaperspaceBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def local(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


@pytest.fixture
def ssh_host(tmp_path: Path) -> Iterator[SshHostBench]:
    with SshHostBench(tmp_path) as bench:
        yield bench


OVER_A_NETWORK = ["runpod", "lambda_cloud", "vast", "paperspace"]


@pytest.fixture(params=[*OVER_A_NETWORK, "local", "ssh_host"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every provider in turn."""
    made: Bench = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=OVER_A_NETWORK)
def cloud(request: pytest.FixtureRequest) -> Bench:
    """Every provider with an API, a key and a bill."""
    made: Bench = request.getfixturevalue(request.param)
    return made
