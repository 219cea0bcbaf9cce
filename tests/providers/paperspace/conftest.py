from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.providers.paperspace import Paperspace
from tests.providers.loopback_api import LoopbackApi, Reply, Seen
from tests.providers.paperspace.samples import CREATED_S, KEY

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[Paperspace, LoopbackApi]]


@pytest.fixture
def clock() -> FakeClock:
    """Two minutes after the samples' machine was created."""
    return FakeClock(CREATED_S + 120)


@pytest.fixture
def start(serve: Callable[[Answers], LoopbackApi], clock: FakeClock) -> Iterator[Start]:
    """A client and the API that it talks to."""
    clients: list[Paperspace] = []

    def begin(answer: Answers) -> tuple[Paperspace, LoopbackApi]:
        api = serve(answer)
        clients.append(Paperspace(SecretStr(KEY), url=api.url, clock=clock))
        return clients[-1], api

    yield begin
    for client in clients:
        client.close()
