from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.providers.loopback_api import LoopbackApi, Reply, Seen


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Seen], Reply]], LoopbackApi]]:
    """Start an API that answers as the test says; closed when the test ends."""
    started: list[LoopbackApi] = []

    def start(answer: Callable[[Seen], Reply]) -> LoopbackApi:
        started.append(LoopbackApi(answer))
        return started[-1]

    yield start
    for api in started:
        api.close()
