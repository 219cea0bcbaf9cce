from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from orchestrator.providers.runpod import RunPod
from tests.providers.loopback_api import LoopbackApi, Reply, Seen
from tests.providers.runpod.samples import KEY

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[RunPod, LoopbackApi]]


@pytest.fixture
def start(serve: Callable[[Answers], LoopbackApi]) -> Iterator[Start]:
    """A client and the API that it talks to."""
    clients: list[RunPod] = []

    def begin(answer: Answers) -> tuple[RunPod, LoopbackApi]:
        api = serve(answer)
        clients.append(
            RunPod(SecretStr(KEY), url=api.url, graphql_url=api.url + "/graphql", log_quiet_s=0.15)
        )
        return clients[-1], api

    yield begin
    for client in clients:
        client.close()
