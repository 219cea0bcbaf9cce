"""Answers against Paperspace's published description, in its golden copy."""

from __future__ import annotations

import httpx
import jsonschema
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.providers.differences import Undescribed, faults
from tests.providers.paperspace.openapi import (
    DESCRIPTION,
    answer_schema,
    body_schema,
    described,
    validator,
)
from tests.simcloud.paperspace import PaperspaceClient, body

DOCUMENT = DESCRIPTION.document


def check(reply: httpx.Response) -> None:
    """Compare an answer with what is described for its call and status."""
    path = described(reply.request.url.path.removeprefix("/v1"))
    schema = answer_schema(DOCUMENT, reply.request.method, path, reply.status_code)
    validator(schema).validate(reply.json())


def test_every_answer_is_as_described(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    paperspace.fault("static_ip")
    script = paperspace_api.post("/startup-scripts", json={"name": "job-1", "script": "#!/bin/sh"})
    script_id = script.json()["id"]
    made = paperspace_api.post(
        "/machines", json=body(startupScriptId=script_id, takeInitialSnapshot=True)
    )
    machine_id = made.json()["data"]["id"]
    replies = [script, made]
    for _ in range(4):
        replies += [paperspace_api.get(f"/machines/{machine_id}"), paperspace_api.get("/machines")]
        replies.append(paperspace_api.get("/machine-events", params={"machineId": machine_id}))
        clock.advance(0.7)
    replies += [
        paperspace_api.get(path)
        for path in (
            "/auth/session",
            "/os-templates",
            "/startup-scripts",
            f"/startup-scripts/{script_id}",
            "/public-ips",
            "/snapshots",
            "/private-networks",
            "/shared-drives",
        )
    ]
    query = {"machineType": "A4000", "region": "ny2"}
    replies.append(paperspace_api.get("/machine-availability", params=query))
    replies.append(paperspace_api.patch(f"/machines/{machine_id}/stop"))
    clock.advance(6)
    replies.append(paperspace_api.patch(f"/machines/{machine_id}/start"))
    clock.advance(6)
    replies.append(paperspace_api.patch(f"/machines/{machine_id}/stop"))
    replies.append(paperspace_api.delete(f"/machines/{machine_id}"))
    replies.append(paperspace_api.get(f"/machines/{machine_id}"))
    ip = paperspace_api.rows("/public-ips")[0]["ip"]
    snapshot = paperspace_api.rows("/snapshots")[0]["id"]
    event = paperspace_api.rows("/machine-events")[0]["id"]
    replies.append(paperspace_api.get(f"/machine-events/{event}"))
    replies.append(paperspace_api.put(f"/public-ips/{ip}", json={"machineId": None}))
    replies.append(paperspace_api.get("/public-ips"))
    replies.append(paperspace_api.delete(f"/public-ips/{ip}"))
    replies.append(paperspace_api.delete(f"/snapshots/{snapshot}"))
    replies.append(paperspace_api.delete(f"/startup-scripts/{script_id}"))

    for reply in replies:
        assert reply.status_code == 200, (reply.request.url, reply.text)
        check(reply)


def test_a_session_of_nobody_is_as_described(paperspace: SimCloud) -> None:
    with PaperspaceClient(paperspace.env, key="") as nobody:
        check(nobody.get("/auth/session"))


def test_pages_and_deleted_machines_are_as_described(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    paperspace.switch(page_size=1, after_end="dtDeleted", region_as="label")
    made = [paperspace_api.create(name=f"job-{n}") for n in range(2)]
    check(paperspace_api.get("/machines"))
    paperspace_api.delete(f"/machines/{made[0]}")
    clock.advance(60)
    check(paperspace_api.get(f"/machines/{made[0]}"))


def test_refusals_are_as_described(paperspace: SimCloud, paperspace_api: PaperspaceClient) -> None:
    made = paperspace_api.create()
    paperspace.switch(delete_needs_off=True)
    kind = {"Content-Type": "application/json"}
    replies = [
        paperspace_api.post("/machines", json=body(region="mars")),
        paperspace_api.post("/machines", json=body(templateId="none")),
        paperspace_api.get("/machines/none"),
        paperspace_api.get("/machines", headers={"Authorization": ""}),
        paperspace_api.delete(f"/machines/{made}"),
        paperspace_api.patch(f"/machines/{made}/stop", headers=kind),
    ]
    paperspace.fault("5xx", operation="get")
    replies.append(paperspace_api.get(f"/machines/{made}"))

    for reply in replies:
        check(reply)
    assert [one.status_code for one in replies] == [400, 404, 404, 401, 412, 400, 503]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"region": None},
        {"diskSize": 0},
        {"diskSize": "100"},
        {"name": ""},
        {"publicIpType": "elastic"},
        {"autoShutdownTimeout": "8"},
        {"tags": ["a"]},
        {"startOnCreate": 1},
    ],
)
def test_a_body_is_refused_here_when_the_description_refuses_it(
    paperspace_api: PaperspaceClient, changes: dict[str, object]
) -> None:
    asked = body(**changes)
    try:
        validator(body_schema(DOCUMENT, "post", "/machines")).validate(asked)
        valid = True
    except jsonschema.ValidationError:
        valid = False

    assert (paperspace_api.post("/machines", json=asked).status_code != 200) is not valid


@pytest.mark.parametrize("fault", faults("paperspace"), ids=lambda one: one.name)
def test_what_goes_wrong_here_and_is_not_described_is_listed_and_really_differs(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, fault: Undescribed
) -> None:
    path = "/billing/account-standing" if fault.name == "standing" else "/machines"
    match fault.name:
        case "html_502":
            paperspace.fault(fault.name, operation="list")
        case "limit_has_body":
            paperspace.switch(limit_has_body=False)
            paperspace.fault("rate_limit", operation="list")

    with pytest.raises((KeyError, ValueError, jsonschema.ValidationError)):
        check(paperspace_api.get(path))
