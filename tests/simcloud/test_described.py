from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import ValidationError

from tests.providers.runpod.openapi import DESCRIPTION
from tests.providers.runpod.samples import pod
from tests.simcloud.described import checks_answers


def answered(body: Any, status: int = 200, kind: str = "application/json") -> httpx.Client:
    """A client that is always answered so, and checks it."""
    headers = {"Content-Type": kind}
    return httpx.Client(
        base_url="http://cloud/v2",
        transport=httpx.MockTransport(
            lambda request: httpx.Response(status, json=body, headers=headers)
        ),
        event_hooks={"response": [checks_answers(DESCRIPTION)]},
    )


def test_an_answer_as_described_is_let_through() -> None:
    with answered(pod()) as client:
        assert client.post("/pods/abc/action", json={"action": "stop"}).json() == pod()


@pytest.mark.parametrize("path", ["/pods/abc", "/pods/abc/action"])
def test_an_answer_of_another_shape_is_refused(path: str) -> None:
    with answered(pod(status="ASLEEP")) as client, pytest.raises(ValidationError, match="ASLEEP"):
        client.request("POST" if "action" in path else "GET", path)


def test_a_refusal_of_another_shape_is_refused() -> None:
    kind = "application/problem+json"
    with answered({"error": "no"}, 404, kind) as client, pytest.raises(ValidationError):
        client.get("/pods/abc")


def test_an_answer_in_another_kind_is_refused() -> None:
    with answered(pod(), kind="application/hal+json") as client, pytest.raises(AssertionError):
        client.get("/pods/abc")
