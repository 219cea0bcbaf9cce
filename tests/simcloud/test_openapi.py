"""Answers against RunPod's published description, in its golden copy."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.providers.runpod.openapi import validator
from tests.simcloud.api import Api, body


def check(name: str, data: object) -> None:
    """Compare with one schema of the description."""
    validator(name).validate(data)


def test_a_pod_in_every_state_is_as_described(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    cloud.fault("error_status", seconds=60, after=1)
    pod, failing = api.create(), api.create(args="bash -c 'sleep infinity'")
    volume = {"persistent": {"size": 20, "path": "/workspace"}}
    stopped = api.create(mounts=volume, gpu={"id": "NVIDIA A40", "count": 2})
    community = api.create(cloud="COMMUNITY", gpu={"id": "NVIDIA RTX A4000", "count": 1})
    api.post(f"/pods/{stopped['id']}/action", json={"action": "stop"})
    seen = set()
    for _ in range(4):
        for one in (pod, failing, stopped, community):
            row = api.pod(one["id"])
            check("Pod", row)
            seen.add(row["status"])
        clock.advance(1 if len(seen) < 4 else 60)

    assert seen == {"PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR"}
    for one in (pod, failing, stopped, community):
        check("Pod", one)
    check("ListPodsResponse", api.get("/pods").json())
    assert community["dataCenterId"] is None


def test_the_catalog_is_as_described(api: Api) -> None:
    asked = {"include": "AVAILABILITY", "product": "POD"}
    for query in ({}, asked, asked | {"cloud": "COMMUNITY"}, asked | {"minCudaVersion": "12.6"}):
        check("ListGpuTypesResponse", api.get("/catalog/gpus", params=query).json())
    check("GpuType", api.get("/catalog/gpus/NVIDIA%20L4", params=asked).json())
    centers = api.get("/catalog/datacenters", params={"include": "GPU_AVAILABILITY"}).json()
    check("ListDataCentersResponse", centers)


def test_bills_and_keys_are_as_described(api: Api, clock: FakeClock) -> None:
    api.create()
    clock.advance(7200)
    rows = api.get("/billing/pods", params={"bucketSize": "hour"}).json()
    assert rows["records"]
    check("ListPodBillingResponse", rows)
    check("SshKeys", api.put("/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA x"]}).json())


def test_refusals_are_as_described(cloud: SimCloud, api: Api) -> None:
    replies = [
        api.post("/pods", json=body(name=None)),
        api.post("/pods", json=body(gpu=None)),
        api.get("/pods/none"),
        api.get("/nowhere"),
        api.put("/pods", json={}),
        api.get("/pods", headers={"Authorization": ""}),
    ]
    cloud.fault("rate_limit", operation="list")
    replies.append(api.get("/pods"))

    for reply in replies:
        check("ErrorResponse", reply.json())
        assert reply.json()["status"] == reply.status_code
    assert [reply.status_code for reply in replies] == [422, 400, 404, 404, 405, 401, 429]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": None},
        {"name": ""},
        {"terminateAfter": "1h"},
        {"disk": 0},
        {"cloud": "ALL"},
        {"env": {"A": 1}},
        {"gpu": {"count": 1}},
        {"gpu": {"id": "NVIDIA L4", "count": 0}},
        {"gpu": {"id": "NVIDIA L4", "count": 1, "minCudaVersion": "12"}},
        {"mounts": {"persistent": {"size": 9, "path": "/workspace"}}},
        {"mounts": {"floppy": {}}},
        {"dataCenterIds": "EU-RO-1"},
    ],
)
def test_a_body_is_invalid_here_when_the_description_says_so(
    api: Api, changes: dict[str, Any]
) -> None:
    asked = body(**changes)
    try:
        check("CreatePodRequest", asked)
        valid = True
    except jsonschema.ValidationError:
        valid = False

    assert (api.post("/pods", json=asked).status_code == 422) is not valid
