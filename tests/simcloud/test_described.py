from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from jsonschema import ValidationError

from tests.providers.lambda_cloud.openapi import ORACLE as LAMBDA
from tests.providers.oracle import Oracle
from tests.providers.runpod.openapi import ORACLE
from tests.providers.runpod.samples import pod
from tests.simcloud.described import checks_answers


def answered(
    body: Any,
    status: int = 200,
    kind: str = "application/json",
    *,
    oracle: Oracle = ORACLE,
    base: str = "/v2",
    differences: tuple[str, ...] = (),
) -> httpx.Client:
    """A client that is always answered so, and checks it."""
    headers = {"Content-Type": kind}
    check = checks_answers(oracle, differences)
    return httpx.Client(
        base_url=f"http://cloud{base}",
        transport=httpx.MockTransport(
            lambda request: httpx.Response(status, json=body, headers=headers)
        ),
        event_hooks={"response": [check]},
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
    with answered(pod(), kind="application/hal+json") as client, pytest.raises(ValidationError):
        client.get("/pods/abc")


@pytest.mark.parametrize(("differences", "good"), [((), False), (("HTTP 418",), True)])
def test_a_status_that_is_not_described_is_refused_unless_it_is_listed(
    differences: tuple[str, ...], good: bool
) -> None:
    listed = tuple(f"/api/v1/instances {one}" for one in differences)
    client = answered({}, 418, oracle=LAMBDA, base="/api/v1", differences=listed)

    with client, nullcontext() if good else pytest.raises(ValidationError, match="418"):
        assert client.get("/instances").status_code == 418
        assert client.put("/instances").status_code == 418  # no such call is described at all
