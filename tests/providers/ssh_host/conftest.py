from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.providers.ssh_host import SshHost
from tests.providers.ssh_host.workstation import Workstation


@pytest.fixture
def workstation(tmp_path: Path) -> Iterator[Workstation]:
    """A workstation without a GPU, that answers."""
    started = Workstation(tmp_path / "workstation")
    started.sshd.start()
    yield started
    started.sshd.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def new_tower(
    workstation: Workstation, tmp_path: Path, clock: FakeClock
) -> Iterator[Callable[[], SshHost]]:
    """The workstation as one more installation sees it."""
    made: list[SshHost] = []

    def make() -> SshHost:
        made.append(SshHost(workstation.host(), tmp_path, clock=clock))
        return made[-1]

    yield make
    for tower in made:
        tower.close()


@pytest.fixture
def tower(new_tower: Callable[[], SshHost]) -> SshHost:
    return new_tower()
