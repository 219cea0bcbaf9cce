"""Answers against Lambda's published description, in its golden copy."""

from __future__ import annotations

import re

import httpx
import jsonschema
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.providers.differences import Undescribed, faults
from tests.providers.lambda_cloud.openapi import (
    DESCRIPTION,
    answer_schema,
    body_schema,
    validator,
)
from tests.simcloud.lambda_cloud import LambdaClient, body

DOCUMENT = DESCRIPTION.document
# Not in API 1.10.0: a null page_token beside the list, as a later description has it.
LATER = {"shows_page_token": False}


def check(reply: httpx.Response) -> None:
    """Compare an answer with what is described for its call and status."""
    path = reply.request.url.path.removeprefix("/api/v1")
    path = re.sub(r"[0-9a-f]{32}", "{id}", path)
    schema = answer_schema(DOCUMENT, reply.request.method, path, reply.status_code)
    validator(DOCUMENT, schema).validate(reply.json())


def test_every_answer_is_as_described(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    lambda_cloud.switch(**LATER)
    for path in ("/instance-types", "/images", "/regions", "/ssh-keys", "/instances"):
        check(lambda_api.get(path))
    key = lambda_api.post("/ssh-keys", json={"name": "a key", "public_key": "ssh-ed25519 AAAA"})
    check(key)
    launched = lambda_api.launch()
    check(launched)
    (made,) = launched.json()["data"]["instance_ids"]
    for _ in range(3):
        check(lambda_api.get(f"/instances/{made}"))
        check(lambda_api.get("/instances"))
        clock.advance(1.4)
    check(lambda_api.terminate(made))
    check(lambda_api.get(f"/instances/{made}"))
    clock.advance(60)
    check(lambda_api.get(f"/instances/{made}"))
    check(lambda_api.delete(f"/ssh-keys/{key.json()['data']['id']}"))


def test_refusals_are_as_described(lambda_cloud: SimCloud, lambda_api: LambdaClient) -> None:
    lambda_api.add_key()
    replies = [
        lambda_api.launch(quantity=2),
        lambda_api.launch(ssh_key_names=["none"]),
        lambda_api.launch(region_name="us-south-2"),
        lambda_api.get("/instances/" + "0" * 32),
        lambda_api.terminate("0" * 32),
        lambda_api.get("/instances", headers={"Authorization": ""}),
        lambda_api.delete("/ssh-keys/" + "0" * 32),
    ]
    lambda_cloud.fault("quota", operation="create")
    replies.append(lambda_api.launch())
    lambda_cloud.fault("inactive", operation="create")
    replies.append(lambda_api.launch())

    for reply in replies:
        check(reply)
    assert [reply.status_code for reply in replies] == [400, 404, 400, 404, 404, 401, 404, 400, 403]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"region_name": None},
        {"ssh_key_names": "a key"},
        {"name": "x" * 65},
        {"hostname": "Upper"},
        {"tags": [{"key": "A", "value": "x"}]},
        {"tags": [{"key": "ab", "value": "x" * 129}]},
        {"image": {"family": 7}},
    ],
)
def test_a_body_is_refused_here_when_the_description_refuses_it(
    lambda_api: LambdaClient, changes: dict[str, object]
) -> None:
    lambda_api.add_key()
    asked = body(**changes)
    try:
        validator(DOCUMENT, body_schema(DOCUMENT, "/instance-operations/launch")).validate(asked)
        valid = True
    except jsonschema.ValidationError:
        valid = False

    assert (lambda_api.launch(**changes).status_code != 200) is not valid


@pytest.mark.parametrize("fault", faults("lambda"), ids=lambda one: one.name)
def test_what_goes_wrong_here_and_is_not_described_is_listed_and_really_differs(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, fault: Undescribed
) -> None:
    lambda_cloud.switch(**LATER)
    lambda_cloud.fault(fault.name, operation="delete")

    with pytest.raises((KeyError, jsonschema.ValidationError)):
        check(lambda_api.terminate("0" * 32))
