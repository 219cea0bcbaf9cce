"""Answers against Vast's published description, in its golden copy."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.providers.differences import Undescribed, faults
from tests.providers.vast.openapi import DESCRIPTION, ORACLE
from tests.simcloud.described import deviations
from tests.simcloud.vast import DIFFERENCES, Vast, body

DOCUMENT = DESCRIPTION.document
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"


def validate(reply: httpx.Response, path: str, status: str = "") -> None:
    """Compare an answer with the description of its call."""
    call = DOCUMENT["paths"][path][reply.request.method.lower()]
    described = call["responses"][status or str(reply.status_code)]
    schema = described["content"]["application/json"]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    problems = []
    for error in jsonschema.Draft202012Validator(whole).iter_errors(reply.json()):
        place = "/".join(part for part in error.absolute_path if isinstance(part, str))
        if f"{path} {place}" not in DIFFERENCES:
            problems.append(f"{place}: {error.message}")
    assert not problems, "\n".join(problems)


INSTANCE, LIST = "/api/v0/instances/{id}", "/api/v1/instances"


def test_an_instance_in_every_state_is_as_described(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    vast_cloud.fault("oci_error", after=1)
    vast_cloud.fault("vanishes", after=2)
    ids = [vast.create() for _ in range(5)]
    nowhere = [row for row in vast.search() if row["geolocation"] is None]
    silent = [row for row in vast.search() if row["cpu_cores"] is None]
    ids += [vast.create(nowhere[0]["id"]), vast.create(silent[-1]["id"])]
    seen = set()
    for step in range(12):
        if step == 8:
            vast.change(ids[3], state="stopped")
        for one in ids:
            reply = vast.get(f"/api/v0/instances/{one}/")
            validate(reply, INSTANCE)
            seen.add(reply.json()["instances"]["actual_status"])
        validate(vast.get("/api/v1/instances/"), LIST)
        clock.advance(0.4)
    validate(vast.get("/api/v0/instances/1/"), INSTANCE)

    assert seen == {None, "loading", "running", "created", "stopped", "offline"}


def test_searching_and_renting_are_as_described(vast: Vast) -> None:
    validate(vast.post("/api/v0/bundles/", json={"num_gpus": {"eq": 1}}), "/api/v0/bundles")
    validate(vast.post("/api/v0/bundles/", json={"num_gpus": 1}), "/api/v0/bundles")
    validate(vast.rent(), "/api/v0/asks/{id}")


@pytest.mark.skipif(
    not DESCRIPTION.published.is_file(), reason="its examples are in the published file only"
)
def test_an_offer_has_what_the_published_example_has_but_for_six_fields(vast: Vast) -> None:
    whole = DESCRIPTION.read_published()
    described = whole["paths"]["/api/v0/bundles"]["post"]["responses"]["200"]
    example = described["content"]["application/json"]["example"]["offers"]
    missing = sorted(set(example) - set(vast.offer()))
    assert missing == ["gpu_ids", "hostname", "nw_disk_avg_bw", "nw_disk_max_bw",
                       "nw_disk_min_bw", "vram_costperhour"]  # fmt: skip


def test_refusals_of_a_create_are_as_described(vast_cloud: SimCloud, vast: Vast) -> None:
    path = "/api/v0/asks/{id}"
    replies = [vast.rent(disk=1), vast.rent(price=0), vast.rent(vm=True)]
    for shape in ("404", "410"):
        vast_cloud.fault("no_capacity", shape=shape)
        replies.append(vast.rent())
    vast_cloud.fault("offer_not_own")
    vast_cloud.fault("rate_limit", operation="create", shape="detail", seconds=4.5)
    vast_cloud.fault("tfa", operation="create")
    replies += [vast.rent(), vast.rent(), vast.rent()]

    for reply in replies:
        validate(reply, path)
    assert [reply.status_code for reply in replies] == [400, 400, 400, 404, 410, 403, 429, 401]


def test_what_is_done_to_an_instance_is_as_described(vast: Vast, clock: FakeClock) -> None:
    one = vast.create(price=0.5)
    clock.advance(10)
    here = "/api/v0/instances"
    attached = vast.post(f"{here}/{one}/ssh/", json={"ssh_key": KEY})
    validate(attached, f"{INSTANCE}/ssh")
    validate(vast.get(f"{here}/{one}/ssh/"), f"{INSTANCE}/ssh")
    (row,) = json.loads(vast.get(f"{here}/{one}/ssh/").json()["ssh_keys"])
    validate(vast.delete(f"{here}/{one}/ssh/{row['id']}/"), f"{INSTANCE}/ssh/{{ssh_key_id}}")
    asked: dict[str, dict[str, Any]] = {
        "request_logs": {"tail": "10"},
        "command": {"command": "ls"},
        "bid_price": {"client_id": "me", "price": 0.6},
        "reboot": {},
        "recycle": {},
    }
    for action, sent in asked.items():
        path = f"/api/v0/instances/{action}/{{id}}"
        validate(vast.put(f"{here}/{action}/{one}/", json=sent), path)
    validate(vast.put(f"{here}/bid_price/{one}/", json={"price": 0}), f"{here}/bid_price/{{id}}")
    validate(vast.put(f"{here}/request_logs/1/", json={}), f"{here}/request_logs/{{id}}")
    validate(vast.change(one, label="x"), INSTANCE)
    validate(vast.change(one, state="paused"), INSTANCE)
    validate(vast.destroy(one), INSTANCE)
    validate(vast.destroy(one), INSTANCE)


def test_the_account_is_as_described(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    start_s = clock.now_s()
    vast.create()
    clock.advance(90_000)
    day = json.dumps({"day": {"gte": start_s, "lte": clock.now_s()}})
    when = json.dumps({"when": {"gte": 0, "lte": 2e9}})
    validate(vast.get("/api/v0/users/current/"), "/api/v0/users/current")
    validate(vast.get("/api/v0/charges/", params={"select_filters": day}), "/api/v0/charges")
    validate(vast.get("/api/v0/charges/"), "/api/v0/charges")
    validate(vast.get("/api/v1/invoices/", params={"select_filters": when}), "/api/v1/invoices")
    validate(vast.post("/api/v0/ssh/", json={"ssh_key": KEY}), "/api/v0/ssh")
    validate(vast.get("/api/v0/ssh/"), "/api/v0/ssh")
    vast_cloud.switch(bad_key_status=401)
    wrong = {"Authorization": "Bearer wrong"}
    validate(vast.get("/api/v0/users/current/", headers=wrong), "/api/v0/users/current")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": None},
        {"disk": "80"},
        {"price": 0.0001},
        {"price": 129},
        {"runtype": "telnet"},
        {"target_state": "asleep"},
        {"cancel_unavail": "yes"},
        {"onstart": ["a"]},
        {"args": "a b"},
        {"volume_info": 7},
    ],
)
def test_a_body_is_invalid_here_when_the_description_says_so(
    vast: Vast, changes: dict[str, Any]
) -> None:
    call = DOCUMENT["paths"]["/api/v0/asks/{id}"]["put"]
    schema = dict(call["requestBody"]["content"]["application/json"]["schema"])
    # An object is sent by everybody: the text that is described was reported to fail.
    schema["properties"] = {
        name: rule for name, rule in schema["properties"].items() if name != "env"
    }
    asked = body(**changes)

    is_valid = jsonschema.Draft202012Validator(schema).is_valid(asked)

    assert (vast.rent(**changes).status_code == 200) is is_valid


@pytest.mark.parametrize("fault", faults("vast"), ids=lambda one: one.name)
def test_what_goes_wrong_here_and_is_not_described_is_listed_and_really_differs(
    vast_cloud: SimCloud, vast: Vast, fault: Undescribed
) -> None:
    one = vast.create()
    places: list[str] = []

    def look(reply: httpx.Response) -> None:
        places.extend(place for place, _ in deviations(ORACLE, reply))

    vast.event_hooks = {"response": [look]}
    for operation in ("keys", "delete"):
        vast_cloud.fault(fault.name, operation=operation)
    vast.post(f"/api/v0/instances/{one}/ssh/", json={"ssh_key": KEY})
    vast.destroy(one)
    vast.rent()

    assert [place for place in places if "HTTP" in place]
