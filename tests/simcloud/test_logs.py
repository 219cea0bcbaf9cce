"""A pod's log: a stream that never ends."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api


@pytest.fixture
def pod(cloud: SimCloud, api: Api, clock: FakeClock) -> dict[str, Any]:
    pod = api.create()
    clock.advance(2)
    return api.pod(pod["id"])


def read(api: Api, pod: dict[str, Any], lines: int, **options: Any) -> list[tuple[str, str]]:
    """(id, line) of the first events."""
    found = []
    with api.stream("GET", f"/pods/{pod['id']}/logs", **options) as reply:
        assert reply.headers["Content-Type"] == "text/event-stream"
        number = ""
        for text in reply.iter_lines():
            if text.startswith("id: "):
                number = text[4:]
            if text.startswith("data: "):
                found.append((number, json.loads(text[6:])["line"]))
            if len(found) == lines:
                return found
    raise AssertionError("the stream ended")


def test_the_boot_log_shows_the_host_key(api: Api, pod: dict[str, Any]) -> None:
    lines = [line for _, line in read(api, pod, 2, params={"source": "container"})]

    assert lines[0] == "SSH host keys:"
    assert lines[1].startswith("ssh-ed25519 AAAA")


def test_tail_and_last_event_id_choose_where_it_begins(api: Api, pod: dict[str, Any]) -> None:
    whole = read(api, pod, 4)
    assert read(api, pod, 1, params={"tail": 1}) == whole[-1:]
    assert read(api, pod, 2, headers={"Last-Event-ID": whole[1][0]}) == whole[2:]
    assert read(api, pod, 4, params={"since": "2020-01-01T00:00:00Z"}) == whole
    assert api.get(f"/pods/{pod['id']}/logs", params={"tail": 5001}).status_code == 422


def test_nothing_is_sent_before_the_first_line(api: Api, pod: dict[str, Any]) -> None:
    with (
        pytest.raises(httpx.ReadTimeout),
        api.stream("GET", f"/pods/{pod['id']}/logs", params={"tail": 0}, timeout=0.2),
    ):
        pass


def test_a_line_that_comes_later_is_sent_then(
    cloud: SimCloud, api: Api, pod: dict[str, Any]
) -> None:
    log = cloud.world.machines[pod["id"]].log
    with api.stream("GET", f"/pods/{pod['id']}/logs", params={"tail": 1}) as reply:
        events = reply.iter_lines()
        next(events)
        log.write(0, "container", "later")
        assert any("later" in line for line, _ in zip(events, range(9), strict=False))


def test_a_pod_that_is_gone_has_no_log(api: Api, pod: dict[str, Any]) -> None:
    api.delete(f"/pods/{pod['id']}")

    assert api.get(f"/pods/{pod['id']}/logs").status_code == 404
