from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.providers.lambda_cloud import Lambda
from tests.providers.lambda_cloud.samples import KEY
from tests.providers.loopback_api import LoopbackApi, Reply, Seen

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[Lambda, LoopbackApi]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(serve: Callable[[Answers], LoopbackApi], clock: FakeClock) -> Iterator[Start]:
    """A client and the API that it talks to."""
    clients: list[Lambda] = []

    def begin(answer: Answers) -> tuple[Lambda, LoopbackApi]:
        api = serve(answer)
        clients.append(Lambda(SecretStr(KEY), url=api.url, clock=clock))
        return clients[-1], api

    yield begin
    for client in clients:
        client.close()
