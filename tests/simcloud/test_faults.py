"""Every fault, once: what the client sees, and what really happened."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import FaultScript, UnknownFault
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api, body


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        ("no_capacity", 400, "no longer any instances"),
        ("rule", 400, "could not be processed"),
        ("insufficient_funds", 402, "balance"),
        ("conflict", 409, "cluster"),
        ("too_large", 413, "102400"),
        ("unprocessable", 422, "validation"),
        ("forbidden", 403, "denied"),
        ("wrong_key", 401, "key"),
        ("5xx", 503, "unavailable"),
        ("html_502", 502, "<html>"),
        ("rate_limit", 429, "rate limit exceeded"),
    ],
)
def test_a_create_that_is_refused_rents_nothing_and_the_next_one_works(
    cloud: SimCloud, api: Api, fault: str, status: int, word: str
) -> None:
    cloud.fault(fault, operation="create")

    reply = api.post("/pods", json=body())

    assert (reply.status_code, word in reply.text) == (status, True)
    assert cloud.machines() == []
    assert api.post("/pods", json=body()).status_code == 201


def test_a_rate_limit_says_how_long(cloud: SimCloud, api: Api) -> None:
    cloud.fault("rate_limit", operation="list", seconds=7)

    reply = api.get("/pods")

    assert reply.headers["Retry-After"] == "7"
    assert '"minute";r=0;t=7' in reply.headers["RateLimit"]


@pytest.mark.parametrize("fault", ["reply_lost", "timeout_after"])
def test_a_reply_is_lost_although_the_pod_was_made(cloud: SimCloud, api: Api, fault: str) -> None:
    cloud.fault(fault, operation="create", seconds=0.05)

    with pytest.raises(httpx.TransportError):
        api.post("/pods", json=body())

    assert api.names() == ["a-pod"]
    assert [call.status for call in cloud.world.calls][:1] == [None]


def test_a_client_that_waits_for_a_lost_reply_gives_up_by_itself(cloud: SimCloud, api: Api) -> None:
    cloud.fault("timeout_after", operation="create")

    with pytest.raises(httpx.ReadTimeout):
        api.post("/pods", json=body(), timeout=0.1)

    assert api.names() == ["a-pod"]


def test_an_error_is_answered_although_the_pod_was_made(cloud: SimCloud, api: Api) -> None:
    cloud.fault("5xx_after", operation="create")

    assert api.post("/pods", json=body()).status_code == 500
    assert api.names() == ["a-pod"]


def test_half_a_body_comes_although_the_pod_was_made(cloud: SimCloud, api: Api) -> None:
    cloud.fault("unreadable", operation="create")

    reply = api.post("/pods", json=body())

    assert reply.status_code == 201
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        reply.json()
    assert api.names() == ["a-pod"]


def test_a_lie_about_deletion(cloud: SimCloud, api: Api) -> None:
    pod = api.create()
    cloud.fault("delete_lies", times=2)

    for _ in range(2):
        assert api.delete(f"/pods/{pod['id']}").status_code == 204
        assert api.names() == ["a-pod"]
    api.delete(f"/pods/{pod['id']}")
    assert api.names() == []


def test_a_deletion_that_fails_and_is_done(cloud: SimCloud, api: Api) -> None:
    pod = api.create()
    cloud.fault("delete_5xx_done")

    assert api.delete(f"/pods/{pod['id']}").status_code == 500
    assert api.get(f"/pods/{pod['id']}").status_code == 404


def test_what_a_call_met_is_counted_and_what_is_still_to_come_is_not(
    cloud: SimCloud, api: Api
) -> None:
    met = cloud.world.faults.met
    cloud.fault("conflict", operation="list", after=1)
    cloud.fault("list_lag_s", seconds=5)
    cloud.fault("gpu_dead", times=2)
    cloud.fault("list_page_fail")

    api.get("/pods")
    assert met == {("runpod", "list_lag_s", "list"): 1}
    api.get("/pods")
    api.create()
    api.create()
    cloud.clear_faults()

    assert met == {
        ("runpod", "list_lag_s", "list"): 1,  # of a list that was refused nothing was shown
        ("runpod", "conflict", "list"): 1,
        ("runpod", "gpu_dead", "machine"): 2,
    }


def test_a_page_behind_the_first_fails(cloud: SimCloud, api: Api) -> None:
    cloud.switch(page_size=1)
    cloud.fault("list_page_fail")
    api.create()
    api.create()

    first = api.get("/pods").json()
    following = {"cursor": first["pagination"]["nextCursor"]}

    assert api.get("/pods", params=following).status_code == 500
    assert api.get("/pods", params=following).status_code == 200


@pytest.mark.parametrize(
    ("fault", "options", "seen"),
    [
        ("boot_stuck", {}, ("PROVISIONING", False)),
        ("starting_stuck", {}, ("STARTING", False)),
        ("never_starts", {}, ("RUNNING", False)),
        ("image_error", {}, ("PROVISIONING", False)),
        ("no_direct_ssh", {}, ("RUNNING", False)),
        ("no_direct_ssh", {"seconds": 500}, ("RUNNING", False)),
        ("no_direct_ssh", {"seconds": 200}, ("RUNNING", True)),
        ("error_status", {}, ("ERROR", False)),
        ("exited", {}, ("EXITED", False)),
        ("exited", {"seconds": 500}, ("RUNNING", True)),
        ("outbid", {}, ("EXITED", False)),
        ("stale_runtime", {}, ("RUNNING", True)),
        ("restart_loop", {}, ("RUNNING", True)),
        ("zero_gpu", {}, ("RUNNING", True)),
        ("gpu_dead", {}, ("RUNNING", True)),
    ],
)
def test_a_machine_that_does_not_come_up(
    cloud: SimCloud,
    api: Api,
    clock: FakeClock,
    fault: str,
    options: dict[str, Any],
    seen: tuple[str, bool],
) -> None:
    cloud.fault(fault, operation="create", **options)
    pod, next_one = api.create(), api.create()

    clock.advance(300)

    later = api.pod(pod["id"])
    assert (later["status"], later["ssh"]["direct"] is not None) == seen
    assert api.pod(next_one["id"])["status"] == "RUNNING"


def test_a_stopped_machine_may_show_the_address_of_its_last_life(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("stale_runtime")
    cloud.fault("exited", seconds=30)
    pod = api.create()

    clock.advance(300)

    later = api.pod(pod["id"])
    assert later["status"] == "EXITED"
    assert later["ssh"]["direct"]["port"] == later["runtime"]["ports"][0]["public"]


def test_a_machine_that_is_outbid_says_so_in_graphql(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("outbid", seconds=10)
    pod = api.create()
    clock.advance(60)
    api.pod(pod["id"])

    ask = f'{{pod(input:{{podId:"{pod["id"]}"}}){{desiredStatus lastStatusChange}}}}'
    data = api.graphql(ask).json()["data"]["pod"]
    assert data["desiredStatus"] == "EXITED"
    assert data["lastStatusChange"].startswith("Outbid: ")


def test_a_machine_may_be_placed_without_gpus(cloud: SimCloud, api: Api) -> None:
    cloud.fault("zero_gpu")
    assert api.create()["gpu"]["count"] == 0
    assert api.create()["gpu"]["count"] == 1


def test_a_command_that_returns_is_started_again_and_again_and_bills(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("restart_loop", seconds=3)
    pod = api.create()
    machine = cloud.world.machines[pod["id"]]
    lives = []

    for _ in range(20):
        clock.advance(10)
        cloud.world.settle()
        lives.append(machine.life)

    assert 5 < lives[-1] < 14
    assert api.pod(pod["id"])["status"] == "RUNNING"
    assert float(str(machine.bill_usd(clock.now_s()))) == pytest.approx(
        pod["cost"] * 200 / 3600, rel=0.01
    )


def test_a_host_that_starts_its_machine_anew_changes_port_and_host_key(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("restarts_elsewhere", seconds=60)
    pod = api.create()
    clock.advance(10)
    before = api.pod(pod["id"])

    clock.advance(100)
    api.pod(pod["id"])
    clock.advance(10)

    after = api.pod(pod["id"])
    assert (before["status"], after["status"]) == ("RUNNING", "RUNNING")
    assert after["ssh"]["direct"]["port"] != before["ssh"]["direct"]["port"]
    log = [line.text for line in cloud.world.machines[pod["id"]].log.lines()]
    keys = {line for line in log if line.startswith("ssh-ed25519")}
    assert len(keys) == 2
    assert cloud.machines()[0]["billed_usd"] == str(
        cloud.world.machines[pod["id"]].bill_usd(clock.now_s())
    )


def test_a_machine_vanishes_with_its_host(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    cloud.fault("vanishes", seconds=20)
    pod = api.create()

    clock.advance(60)
    api.names()
    clock.advance(1)

    assert api.get(f"/pods/{pod['id']}").status_code == 404
    assert cloud.machines()[0]["ended_by"] == "provider"


@pytest.mark.parametrize(
    ("fault", "same_port", "gpus"),
    [("start_stale_address", True, 1), ("start_zero_gpu", False, 0)],
)
def test_a_machine_that_starts_again_is_not_as_it_was(
    cloud: SimCloud, api: Api, clock: FakeClock, fault: str, same_port: bool, gpus: int
) -> None:
    pod = api.create()
    clock.advance(10)
    old = api.pod(pod["id"])["ssh"]["direct"]["port"]
    cloud.fault(fault)
    for action in ("stop", "start"):
        assert api.post(f"/pods/{pod['id']}/action", json={"action": action}).status_code == 200
        clock.advance(10)

    again = api.pod(pod["id"])
    assert (again["ssh"]["direct"]["port"] == old, again["gpu"]["count"]) == (same_port, gpus)
    clock.advance(30)
    assert api.pod(pod["id"])["ssh"]["direct"]["port"] != old


def test_capacity_may_be_missing_in_one_data_center(cloud: SimCloud, api: Api) -> None:
    cloud.fault("no_capacity", times=None, if_data_centers="EU-RO-1")

    codes = [
        api.post("/pods", json=body(dataCenterIds=[place])).status_code
        for place in ("EU-RO-1", "EU-SE-1")
    ]

    assert codes == [400, 201]


def test_billing_records_may_be_absent(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    api.create()
    clock.advance(3600)
    cloud.fault("billing_absent")

    assert api.get("/billing/pods").json()["records"] == []
    cloud.clear_faults()
    assert len(api.get("/billing/pods").json()["records"]) == 1


def test_graphql_fails_with_200(cloud: SimCloud, api: Api) -> None:
    cloud.fault("graphql_errors")

    reply = api.graphql("{myself{id}}")

    assert reply.status_code == 200
    assert "Something went wrong" in reply.json()["errors"][0]["message"]
    assert api.graphql("{myself{id}}").json()["data"]["myself"]


def test_a_price_above_the_catalog_is_what_is_billed(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("price_above", factor=3)

    pod = api.create()
    clock.advance(3600)

    assert pod["cost"] == pytest.approx(3 * 0.43 + 20 * 0.10 / 730)
    assert float(str(cloud.machines()[0]["billed_usd"])) == pytest.approx(pod["cost"], abs=1e-5)


def test_a_fault_may_wait_and_may_choose_its_call(cloud: SimCloud, api: Api) -> None:
    cloud.fault("no_capacity", after=1, if_gpu="NVIDIA L4")

    statuses = [
        api.post("/pods", json=body(gpu={"id": gpu, "count": 1})).status_code
        for gpu in ("NVIDIA L4", "NVIDIA A40", "NVIDIA L4", "NVIDIA L4")
    ]

    assert statuses == [201, 201, 400, 201]


def test_faults_can_be_cleared(cloud: SimCloud, api: Api) -> None:
    cloud.fault("5xx", operation="list", times=None)
    assert [api.get("/pods").status_code for _ in range(3)] == [503] * 3

    cloud.clear_faults()
    assert api.get("/pods").status_code == 200


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownFault, match="reply_lost"):
        FaultScript().add("runpod", "create", "reply_last")
    with pytest.raises(UnknownFault, match="graphql"):
        FaultScript().add("runpod", "crate", "5xx")
