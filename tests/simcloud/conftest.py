"""A cloud without processes on a clock that moves when told, and one with real machines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api, Login
from tests.simcloud.lambda_cloud import LambdaClient
from tests.simcloud.paperspace import PaperspaceClient
from tests.simcloud.vast import Vast


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cloud(tmp_path: Path, clock: FakeClock) -> Iterator[SimCloud]:
    with SimCloud(state=tmp_path, machines="memory", clock=clock, seed=7) as cloud:
        yield cloud


@pytest.fixture
def api(cloud: SimCloud) -> Iterator[Api]:
    with Api(cloud.env) as api:
        yield api


@pytest.fixture(scope="session")
def private_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("login") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture
def login(private_key: Path) -> Login:
    return Login(private_key)


@pytest.fixture
def vast_cloud(tmp_path: Path, clock: FakeClock) -> Iterator[SimCloud]:
    with SimCloud(
        state=tmp_path, machines="memory", clock=clock, seed=7, providers=("vast",)
    ) as cloud:
        yield cloud


@pytest.fixture
def vast(vast_cloud: SimCloud) -> Iterator[Vast]:
    with Vast(vast_cloud.env) as vast:
        yield vast


@pytest.fixture
def lambda_cloud(tmp_path: Path, clock: FakeClock) -> Iterator[SimCloud]:
    with SimCloud(
        state=tmp_path, machines="memory", clock=clock, seed=7, providers=("lambda",)
    ) as cloud:
        yield cloud


@pytest.fixture
def lambda_api(lambda_cloud: SimCloud) -> Iterator[LambdaClient]:
    with LambdaClient(lambda_cloud.env) as client:
        yield client


@pytest.fixture
def paperspace(tmp_path: Path, clock: FakeClock) -> Iterator[SimCloud]:
    with SimCloud(
        state=tmp_path, machines="memory", clock=clock, seed=7, providers=("paperspace",)
    ) as cloud:
        yield cloud


@pytest.fixture
def paperspace_api(paperspace: SimCloud) -> Iterator[PaperspaceClient]:
    with PaperspaceClient(paperspace.env) as client:
        yield client
