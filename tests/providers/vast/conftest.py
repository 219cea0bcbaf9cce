from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.providers.vast import Vast
from tests.providers.loopback_api import LoopbackApi, Reply, Seen
from tests.providers.vast.samples import KEY, NOW_S

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[Vast, LoopbackApi]]


@pytest.fixture
def start(serve: Callable[[Answers], LoopbackApi]) -> Iterator[Start]:
    """A client and the API that it talks to."""
    clients: list[Vast] = []

    def begin(answer: Answers) -> tuple[Vast, LoopbackApi]:
        api = serve(answer)
        clients.append(Vast(SecretStr(KEY), url=api.url, clock=FakeClock(NOW_S)))
        return clients[-1], api

    yield begin
    for client in clients:
        client.close()
