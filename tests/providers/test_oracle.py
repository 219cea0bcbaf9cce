"""What is sent otherwise than described is found, and named as the one list names it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.providers.lambda_cloud.openapi import ORACLE as LAMBDA
from tests.providers.oracle import Oracle
from tests.providers.paperspace.openapi import ORACLE as PAPERSPACE
from tests.providers.runpod.openapi import ORACLE as RUNPOD
from tests.providers.vast.openapi import ORACLE as VAST

ID = "0123456789abcdef" * 2


def places(
    oracle: Oracle, call: str, body: object = None, query: Mapping[str, str] | None = None
) -> list[str]:
    method, _, path = call.partition(" ")
    sent = b"" if body is None else json.dumps(body).encode()
    return sorted({place for place, _ in oracle.of_request(method, path, query or {}, sent)})


@pytest.mark.parametrize(
    ("oracle", "call", "body", "query"),
    [
        (RUNPOD, "POST /v2/pods/abc/action", {"action": "terminate"}, {}),
        (RUNPOD, "DELETE /v2/pods/abc", None, {}),
        (RUNPOD, "GET /v2/pods/abc/logs", None, {"tail": "10", "source": "system"}),
        (RUNPOD, "GET /v2/catalog/gpus", None, {"product": "POD,CLUSTER", "count": "2"}),
        (RUNPOD, "POST /graphql", {"query": "{myself{id}}"}, {}),
        (VAST, "DELETE /api/v0/instances/12/", {}, {}),
        (VAST, "PUT /api/v0/instances/12/", {"state": "stopped"}, {}),
        (LAMBDA, "POST /api/v1/instance-operations/terminate", {"instance_ids": [ID]}, {}),
        (PAPERSPACE, "PATCH /v1/machines/abc/stop", None, {}),
        (PAPERSPACE, "GET /v1/machines", None, {"limit": "100", "order": "asc"}),
    ],
)
def test_what_is_described_is_let_through(
    oracle: Oracle, call: str, body: object, query: dict[str, str]
) -> None:
    assert places(oracle, call, body, query) == []


@pytest.mark.parametrize(
    ("oracle", "call", "body", "query", "place"),
    [
        (RUNPOD, "POST /v2/pods/abc/action", {"action": "melt"}, {}, " action"),
        (RUNPOD, "POST /v2/pods/abc/action", None, {}, ""),
        (RUNPOD, "DELETE /v2/pods/abc", {"force": True}, {}, ""),
        (RUNPOD, "GET /v2/pods/abc/logs", None, {"source": "gossip"}, " source"),
        (RUNPOD, "GET /v2/pods/abc/logs", None, {"tail": "all"}, " tail"),
        (RUNPOD, "GET /v2/pods", None, {"limit": "10"}, " limit"),
        (VAST, "PUT /api/v0/instances/12/", {"state": 7}, {}, " state"),
        (VAST, "PUT /api/v0/instances/12/", {"mood": "x"}, {}, " mood"),
        (VAST, "GET /api/v0/charges/", None, {}, " select_filters"),
        (LAMBDA, "GET /api/v1/instances", None, {"page_token": "x"}, " page_token"),
        (PAPERSPACE, "GET /v1/machines", None, {"order": "up"}, " order"),
    ],
)
def test_what_is_not_is_named(
    oracle: Oracle, call: str, body: object, query: dict[str, str], place: str
) -> None:
    method, _, path = call.partition(" ")
    template = path.removeprefix("/v1").rstrip("/").replace("abc", "{id}").replace("12", "{id}")

    found = places(oracle, call, body, query)

    assert f"{method} {template}{place}" in found


def test_a_call_that_nothing_describes_is_named() -> None:
    assert places(VAST, "GET /api/v0/gpu_names/unique/") == ["GET /api/v0/gpu_names/unique"]
