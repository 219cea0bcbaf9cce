"""The simulated Paperspace, call by call, as its facts document has it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.paperspace.types import MONTH_HOURS
from orchestrator.clock import FakeClock
from orchestrator.providers.paperspace.script import startup_script
from tests.simcloud.paperspace import PaperspaceClient, body

HOUR_USD = Decimal("0.76") + (Decimal(7) / MONTH_HOURS).quantize(Decimal("0.000001"))


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def billed_usd(cloud: SimCloud) -> Decimal:
    (row,) = cloud.machines()
    return Decimal(str(row["billed_usd"]))


def test_a_machine_goes_through_its_states_and_its_event_with_it(
    paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    reply = paperspace_api.post("/machines", json=body())
    made = reply.json()["data"]
    seen = [(made["state"], reply.json()["event"]["state"])]
    for _ in range(3):
        clock.advance(0.65)
        seen.append((paperspace_api.state(made["id"]), paperspace_api.events(made["id"])[0][1]))
    clock.advance(0.5)
    seen.append((paperspace_api.state(made["id"]), paperspace_api.events(made["id"])[0][1]))

    assert seen == [
        ("provisioning", "new"),
        ("starting", "in progress"),
        ("serviceready", "in progress"),
        ("serviceready", "in progress"),
        ("ready", "done"),
    ]
    shown = paperspace_api.show(made["id"])
    assert (shown["publicIpType"], bool(shown["publicIp"])) == ("dynamic", True)
    assert (shown["usageRate"], shown["storageRate"], shown["dtDeleted"]) == (0.76, 7, None)
    assert shown["accelerators"][0]["count"] == 1
    assert made["publicIp"] is None


def test_an_hour_that_has_begun_is_billed_whole_from_the_create_on(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create()
    clock.advance(3500)
    paperspace_api.state(made)
    assert billed_usd(paperspace) == HOUR_USD

    clock.advance(200)
    paperspace_api.delete(f"/machines/{made}")
    clock.advance(36_000)

    assert billed_usd(paperspace) == 2 * HOUR_USD
    assert paperspace.machines()[0]["ended_by"] == "api"


def test_off_bills_its_disk_alone_and_each_start_an_hour_of_its_own(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create()
    clock.advance(600)
    assert paperspace_api.patch(f"/machines/{made}/stop").status_code == 200
    assert paperspace_api.state(made) == "stopping"
    clock.advance(6)
    assert (paperspace_api.state(made), paperspace_api.show(made)["publicIp"]) == ("off", None)
    assert billed_usd(paperspace) == HOUR_USD

    clock.advance(1000)
    assert paperspace_api.patch(f"/machines/{made}/start").status_code == 200
    clock.advance(10)

    assert paperspace_api.state(made) == "ready"
    assert billed_usd(paperspace) == HOUR_USD + Decimal("0.76")  # its disk is paid for already


def test_a_bad_key_has_no_session_and_may_do_nothing_else(paperspace: SimCloud) -> None:
    with PaperspaceClient(paperspace.env, key="") as nobody:
        session = nobody.get("/auth/session")
        assert (session.status_code, session.json()) == (200, None)
        assert refused(nobody.get("/machines")) == (401, "UNAUTHORIZED")
        assert nobody.get("/os-templates").status_code == 200


def test_each_team_sees_its_own(paperspace: SimCloud, paperspace_api: PaperspaceClient) -> None:
    made = paperspace_api.create()
    with PaperspaceClient(paperspace.env, key="SIMCLOUD_PAPERSPACE_OTHER_KEY") as other:
        assert other.ids() == []
        assert refused(other.get(f"/machines/{made}")) == (404, "NOT_FOUND")
        assert refused(other.delete(f"/machines/{made}")) == (404, "NOT_FOUND")
        teams = {client.data("/auth/session")["team"]["id"] for client in (other, paperspace_api)}
    assert len(teams) == 2


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"name": None}, 400, "BAD_REQUEST"),
        ({"diskSize": 0}, 400, "BAD_REQUEST"),
        ({"diskSize": "100"}, 400, "BAD_REQUEST"),
        ({"startOnCreate": "yes"}, 400, "BAD_REQUEST"),
        ({"tags": ["a"]}, 400, "BAD_REQUEST"),
        ({"publicIpType": "elastic"}, 400, "BAD_REQUEST"),
        ({"region": "mars"}, 400, "BAD_REQUEST"),
        ({"machineType": "A6000", "region": "ams1"}, 400, "BAD_REQUEST"),
        ({"name": "x" * 121}, 400, "BAD_REQUEST"),
        ({"templateId": "gone"}, 404, "NOT_FOUND"),
        ({"startupScriptId": "none"}, 404, "NOT_FOUND"),
    ],
)
def test_a_create_that_is_not_in_order_rents_nothing(
    paperspace: SimCloud,
    paperspace_api: PaperspaceClient,
    changes: dict[str, Any],
    status: int,
    code: str,
) -> None:
    assert refused(paperspace_api.post("/machines", json=body(**changes))) == (status, code)
    assert paperspace.machines() == []


def test_the_type_of_json_without_a_body_is_a_parse_error(
    paperspace_api: PaperspaceClient,
) -> None:
    made = paperspace_api.create()
    path, kind = f"/machines/{made}/stop", {"Content-Type": "application/json"}

    assert refused(paperspace_api.patch(path, headers=kind)) == (400, "PARSE_ERROR")
    assert paperspace_api.patch(path, json={}).status_code == 200


@pytest.mark.parametrize(("event", "told"), [("error", "error"), ("done", "done")])
def test_without_capacity_a_create_works_and_the_machine_ends_up_off(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock, event: str, told: str
) -> None:
    paperspace.fault("never_on", event=event)
    made = paperspace_api.create()

    assert paperspace_api.state(made) == "provisioning"
    clock.advance(6)
    assert paperspace_api.state(made) == "off"
    assert paperspace_api.events(made) == [("create", told)]
    clock.advance(600)
    assert paperspace_api.state(made) == "off"
    assert billed_usd(paperspace) < Decimal("0.05")


def test_what_is_sold_out_is_created_and_never_comes_on_and_gives_its_place_back(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    query = {"machineType": "H100x8", "region": "ny2"}
    wide = {"machineType": "H100x8", "templateId": "t7vp562h", "region": "ny2"}
    living = [paperspace_api.create(**wide) for _ in range(4)]
    assert paperspace_api.data("/machine-availability", **query) == {"available": False}

    late = paperspace_api.create(**wide)
    clock.advance(10)

    assert paperspace_api.state(late) == "off"
    assert [paperspace_api.state(one) for one in living] == ["ready"] * 4
    paperspace_api.delete(f"/machines/{living[0]}")
    assert paperspace_api.data("/machine-availability", **query) == {"available": True}
    paperspace_api.delete(f"/machines/{late}")
    paperspace_api.create(**wide)
    assert paperspace_api.data("/machine-availability", **query) == {"available": False}


def test_a_machine_that_is_not_to_start_ends_up_off(
    paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create(startOnCreate=False)
    clock.advance(10)

    assert (paperspace_api.state(made), paperspace_api.events(made)) == (
        "off",
        [("create", "done")],
    )
    paperspace_api.patch(f"/machines/{made}/start")
    assert refused(paperspace_api.patch(f"/machines/{made}/start")) == (400, "BAD_REQUEST")
    clock.advance(10)
    assert paperspace_api.state(made) == "ready"


@pytest.mark.parametrize("after_end", ["404", "dtDeleted"])
def test_a_deleted_machine_shows_for_a_while_then_is_as_the_switch_says(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock, after_end: str
) -> None:
    paperspace.switch(after_end=after_end)
    made = paperspace_api.create()
    clock.advance(10)

    event = paperspace_api.delete(f"/machines/{made}").json()["event"]
    assert event["name"] == "deactivate"
    assert (paperspace_api.state(made), paperspace_api.ids()) == ("stopping", [made])
    clock.advance(21)

    assert paperspace_api.ids() == []
    reply = paperspace_api.get(f"/machines/{made}")
    if after_end == "404":
        assert refused(reply) == (404, "NOT_FOUND")
    else:
        assert reply.json()["dtDeleted"] is not None


def test_a_running_machine_may_have_to_be_off_before_it_is_deleted(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    paperspace.switch(delete_needs_off=True)
    made = paperspace_api.create()
    clock.advance(10)

    assert refused(paperspace_api.delete(f"/machines/{made}")) == (412, "PRECONDITION_FAILED")
    paperspace_api.patch(f"/machines/{made}/stop")
    assert refused(paperspace_api.delete(f"/machines/{made}")) == (412, "PRECONDITION_FAILED")
    clock.advance(6)
    assert paperspace_api.delete(f"/machines/{made}").status_code == 200


@pytest.mark.parametrize(("mode", "stops"), [("absolute", True), ("idle", True), ("none", False)])
def test_the_providers_own_stop_counts_hours_and_leaves_the_disk(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock, mode: str, stops: bool
) -> None:
    paperspace.switch(auto_shutdown=mode)
    own_stop = {"autoShutdownEnabled": True, "autoShutdownTimeout": 2, "autoShutdownForce": True}
    made = paperspace_api.create(**own_stop)
    clock.advance(7190)
    assert paperspace_api.state(made) == "ready"

    clock.advance(20)

    assert paperspace_api.state(made) == ("off" if stops else "ready")
    assert paperspace_api.ids() == [made]


def test_the_providers_own_stop_may_be_set_anew(
    paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create(autoShutdownEnabled=True, autoShutdownTimeout=9)

    changed = paperspace_api.put(f"/machines/{made}", json={"autoShutdownTimeout": 1})
    clock.advance(3610)

    assert changed.json()["data"]["autoShutdownTimeout"] == 1
    assert paperspace_api.state(made) == "off"


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("null", [True, False])
def test_pages_are_as_small_as_the_switch_says(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, size: int, null: bool
) -> None:
    paperspace.switch(page_size=size, null_next_page=null)
    made = [paperspace_api.create(name=f"job-{n}") for n in range(3)]

    seen: list[str] = []
    page: dict[str, Any] = {"hasMore": True}
    after: dict[str, str] = {}
    while page["hasMore"]:
        page = paperspace_api.data("/machines", order="asc", **after)
        assert 1 <= len(page["items"]) <= size
        seen += [row["id"] for row in page["items"]]
        after = {"after": page["nextPage"]} if page["hasMore"] else {}
    assert seen == made
    assert ("nextPage" in page) is null
    assert refused(paperspace_api.get("/machines", params={"limit": "121"}))[0] == 400
    assert [row["name"] for row in paperspace_api.rows("/machines", name="job-1")] == ["job-1"]


@pytest.mark.parametrize(("form", "told"), [("code", "ny2"), ("label", "East Coast (NY2)")])
def test_regions_are_taken_in_both_forms_and_told_in_one(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, form: str, told: str
) -> None:
    paperspace.switch(region_as=form)

    made = {paperspace_api.create(region=word) for word in ("ny2", "East Coast (NY2)")}

    assert {paperspace_api.show(one)["region"] for one in made} == {told}


def test_a_script_names_its_machine_and_never_its_text(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    script = paperspace_api.add_script("#!/bin/sh\necho secret\n")
    made = paperspace_api.create(startupScriptId=script)

    row = paperspace_api.data(f"/startup-scripts/{script}")
    assert row["assignedMachineIds"] == [made]
    assert "secret" not in str(row)
    paperspace_api.delete(f"/machines/{made}")
    assert paperspace_api.rows("/startup-scripts")[0]["assignedMachineIds"] == [made]
    paperspace.switch(script_forgets=True)
    assert paperspace_api.rows("/startup-scripts")[0]["assignedMachineIds"] == []
    assert paperspace_api.delete(f"/startup-scripts/{script}").json()["dtDeleted"]
    assert paperspace_api.rows("/startup-scripts") == []
    assert refused(paperspace_api.delete(f"/startup-scripts/{script}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize("asked", [True, False])
def test_a_static_address_outlives_its_machine(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock, asked: bool
) -> None:
    if not asked:
        paperspace.fault("static_ip")
    made = paperspace_api.create(publicIpType="static" if asked else "dynamic")
    shown = paperspace_api.show(made)
    assert (shown["publicIpType"], shown["state"]) == ("static", "provisioning")
    ip = shown["publicIp"]
    paperspace_api.delete(f"/machines/{made}")
    clock.advance(60)

    (row,) = paperspace_api.rows("/public-ips")
    assert (row["ip"], row["assignedMachineId"]) == (ip, made)
    paperspace_api.put(f"/public-ips/{ip}", json={"machineId": None})
    assert "assignedMachineId" not in paperspace_api.rows("/public-ips")[0]
    assert paperspace_api.delete(f"/public-ips/{ip}").json() == {"ip": ip}
    assert paperspace_api.rows("/public-ips") == []


def test_snapshots_that_were_asked_for_outlive_their_machine(
    paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create(takeInitialSnapshot=True, autoSnapshotEnabled=True)
    paperspace_api.delete(f"/machines/{made}")
    clock.advance(60)

    rows = paperspace_api.rows("/snapshots", order="asc")
    assert [(row["machineId"], row["isAutoSnapshot"]) for row in rows] == [
        (made, False),
        (made, True),
    ]
    for row in rows:
        assert paperspace_api.delete(f"/snapshots/{row['id']}").status_code == 200
    assert paperspace_api.rows("/snapshots") == []


def test_a_delete_that_lies_leaves_the_machine(
    paperspace: SimCloud, paperspace_api: PaperspaceClient, clock: FakeClock
) -> None:
    made = paperspace_api.create()
    paperspace.fault("delete_lies")

    assert paperspace_api.delete(f"/machines/{made}").status_code == 200
    clock.advance(60)

    assert paperspace_api.state(made) == "ready"


def test_too_many_calls_may_be_told_without_json(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    paperspace.fault("rate_limit", operation="list", seconds=7)
    told = paperspace_api.get("/machines")
    paperspace.switch(limit_has_body=False)
    paperspace.fault("rate_limit", operation="list")
    bare = paperspace_api.get("/machines")

    assert refused(told) == (429, "TOO_MANY_REQUESTS")
    assert told.headers["retry-after"] == "7"
    assert (bare.status_code, bare.content) == (429, b"")


def test_an_older_api_has_neither_availability_nor_standing(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    query = {"machineType": "A4000", "region": "ny2"}
    assert paperspace_api.data("/machine-availability", **query) == {"available": True}
    paperspace.switch(standing="bad")
    assert paperspace_api.data("/billing/account-standing")["isInGoodStanding"] is False
    paperspace.switch(has_availability=False, has_standing=False)

    assert paperspace_api.get("/machine-availability", params=query).status_code == 404
    assert paperspace_api.get("/billing/account-standing").status_code == 404


def test_a_team_may_have_a_limit_of_machines(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    paperspace.switch(most_machines=1)
    paperspace_api.create()

    assert refused(paperspace_api.post("/machines", json=body())) == (403, "FORBIDDEN")
    assert paperspace_api.data("/auth/session")["team"]["maxMachines"] == 1


def test_where_no_script_may_run_what_it_would_put_in_is_read_from_its_text(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    """A machine without files of its own would write into this computer's."""
    private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg\n-----END OPENSSH PRIVATE KEY-----\n"
    key, host = "ssh-ed25519 AAAA run", "ssh-ed25519 BBBB host"
    script = paperspace_api.add_script(startup_script("paperspace", key, private, host))
    made = paperspace_api.create(startupScriptId=script)

    boot = paperspace.world.machines[made].boot
    assert boot is not None
    told = boot.environment
    assert (told["SIMCLOUD_SSH_KEY"], told["SIMCLOUD_HOST_KEY"]) == (key, private)
    assert told["SIMCLOUD_SCRIPT"] == ""
