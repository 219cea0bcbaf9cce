"""The knobs of the simulator contract that no other file turns, all over `POST /faults`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api, body
from tests.simcloud.test_pods import pod_client

Knob = Callable[..., None]


@pytest.fixture
def knob(cloud: SimCloud) -> Iterator[Knob]:
    """Turns one, as somebody does who only has the control server's address."""
    with httpx.Client(base_url=cloud.url, trust_env=False) as control:

        def turn(fault: str, operation: str = "", **options: object) -> None:
            asked = {"fault": fault, "operation": operation, **options}
            reply = control.post("/faults", json=asked)
            assert reply.status_code == 200, reply.text

        yield turn


def terminate(pod: dict[str, Any]) -> str:
    return f'mutation{{podTerminate(input:{{podId:"{pod["id"]}"}})}}'


@pytest.mark.parametrize("fault", [*ANY_CALL, *BELONGS_TO])
def test_every_knob_is_on_the_control_server(cloud: SimCloud, knob: Knob, fault: str) -> None:
    knob(fault, "create", seconds=1)

    (row,) = httpx.get(f"{cloud.url}/faults", trust_env=False).json()
    assert (row["fault"], row["operation"]) == (fault, BELONGS_TO.get(fault, "create"))


def test_a_machine_that_ends_itself_may_be_lied_to_in_every_way(
    cloud: SimCloud, api: Api, knob: Knob
) -> None:
    pod = api.create()
    knob("terminate_lies")
    knob("delete_lies")
    knob("graphql_lies")
    cloud.switch(pod_key_ways=["v2", "delete", "graphql"])

    with pod_client(cloud, pod["id"]) as inside:
        at = f"/pods/{pod['id']}"
        assert inside.graphql(terminate(pod)).json() == {"data": {"podTerminate": None}}
        assert inside.delete(at).status_code == 204
        assert inside.post(f"{at}/action", json={"action": "terminate"}).status_code == 204
        assert cloud.machines()[0]["ended_at"] is None
        assert inside.post(f"{at}/action", json={"action": "terminate"}).status_code == 204
    assert cloud.machines()[0]["ended_by"] == "self"


def test_a_lie_to_a_mutation_is_none_to_a_query_and_a_stop_is_no_end(api: Api, knob: Knob) -> None:
    pod = api.create()
    knob("graphql_lies")
    knob("terminate_lies")

    assert api.graphql("{myself{id}}").json()["data"]["myself"]["id"]
    stopped = api.post(f"/pods/{pod['id']}/action", json={"action": "stop"}).json()

    assert stopped["status"] == "EXITED"


def test_a_pod_that_never_starts_runs_by_its_status_and_bills(
    cloud: SimCloud, api: Api, clock: FakeClock, knob: Knob
) -> None:
    knob("never_starts")
    pod = api.create()
    clock.advance(3600)

    later = api.pod(pod["id"])

    assert (later["status"], later["runtime"], later["cost"]) == ("RUNNING", None, pod["cost"])
    ask = f'{{pod(input:{{podId:"{pod["id"]}"}}){{desiredStatus runtime{{uptimeInSeconds}}}}}}'
    assert api.graphql(ask).json()["data"]["pod"] == {"desiredStatus": "RUNNING", "runtime": None}
    machine = cloud.world.machines[pod["id"]]
    assert machine.life == 0, "its guard was never armed"
    assert float(str(machine.bill_usd(clock.now_s()))) == pytest.approx(pod["cost"], rel=0.01)


def test_an_image_that_cannot_be_pulled_is_told_only_by_the_hosts_log(
    cloud: SimCloud, api: Api, clock: FakeClock, knob: Knob
) -> None:
    knob("image_error", text="manifest unknown")
    pod = api.create()

    for _ in range(4):
        clock.advance(10)
        assert api.pod(pod["id"])["status"] == "PROVISIONING"

    log = cloud.world.machines[pod["id"]].log.lines()
    told = [line.source for line in log if line.text == "error pulling image: manifest unknown"]
    assert told == ["system"] * 4


def test_a_balance_that_ends_takes_the_pods_with_it(
    cloud: SimCloud, api: Api, clock: FakeClock, knob: Knob
) -> None:
    api.create()
    knob("balance_gone", usd=0.2)
    clock.advance(600)
    assert api.names() == ["a-pod"]
    assert api.post("/pods", json=body()).status_code == 402  # holds no hour of it

    knob("balance_gone")
    assert api.names() == []
    assert cloud.machines()[0]["ended_by"] == "provider"


def test_billing_records_may_take_longer(api: Api, clock: FakeClock, knob: Knob) -> None:
    api.create()
    knob("billing_lag_s", seconds=7200)

    clock.advance(7000)
    assert api.get("/billing/pods").json()["records"] == []
    clock.advance(1000)
    (row,) = api.get("/billing/pods").json()["records"]
    assert row["totalAmount"] == pytest.approx(0.43274 * 800 / 3600, abs=1e-4)


def test_graphql_may_be_gone_and_says_nothing_of_rates(api: Api, knob: Knob) -> None:
    knob("gone", "graphql", times=1)
    knob("rate_limit", "graphql", seconds=9)

    gone, limited = api.graphql("{myself{id}}"), api.graphql("{myself{id}}")

    assert (gone.status_code, limited.status_code) == (410, 429)
    assert not {"ratelimit", "retry-after"} & set(limited.headers)
    assert limited.headers["x-request-id"]


def test_calls_are_counted_for_the_account_and_refused_beyond_its_quota(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    clock.advance(60 - clock.now_s() % 60)
    cloud.switch(calls_per_minute=3)

    replies = [api.get("/pods") for _ in range(4)]
    with Api(cloud.env, "SIMCLOUD_RUNPOD_OTHER_KEY") as other:
        assert other.get("/pods").status_code == 200

    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    left = [reply.headers["RateLimit"].split(",")[0] for reply in replies]
    assert left == [f'"minute";r={n};t=60' for n in (2, 1, 0, 0)]
    assert replies[-1].headers["Retry-After"] == "60"
    assert '"minute";q=3;w=60' in replies[-1].headers["RateLimit-Policy"]
    clock.advance(60)
    assert api.get("/pods").status_code == 200


def test_a_list_of_one_page_may_say_nothing_of_pages(cloud: SimCloud, api: Api) -> None:
    cloud.switch(says_pages=False, page_size=1)
    api.create()
    assert "pagination" not in api.get("/pods").json()

    api.create()
    assert api.get("/pods").json()["pagination"]["hasNextPage"] is True


def test_a_member_of_a_cluster_is_hidden_and_ends_with_its_cluster_only(
    cloud: SimCloud, api: Api
) -> None:
    pod = api.create(name="node-0")
    cloud.switch(clusters=["node-0"])

    shown = api.get("/pods", params={"includeClusterPods": "true"}).json()["pods"]

    assert api.names() == []
    assert [one["id"] for one in shown] == [pod["id"]]
    assert api.delete(f"/pods/{pod['id']}").status_code == 409


def test_v1_may_still_live_in_its_own_words(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    cloud.switch(v1_gone=False)
    pod = api.create()
    v1 = cloud.env["GPULEASE_RUNPOD_URL"].replace("/v2", "/v1/pods")
    clock.advance(10)
    (row,) = api.get(v1).json()
    assert (row["id"], row["desiredStatus"], row["costPerHr"]) == (pod["id"], "RUNNING", "0.432740")
    assert row["portMappings"]["22"] == api.pod(pod["id"])["ssh"]["direct"]["port"]

    with pod_client(cloud, pod["id"]) as inside:
        assert inside.post(f"{v1}/{pod['id']}/stop").status_code == 403
    assert api.post(f"{v1}/{pod['id']}/stop").json()["desiredStatus"] == "EXITED"
    assert api.delete(f"{v1}/{pod['id']}").status_code == 204
    assert api.get(f"{v1}/{pod['id']}").json() == {"error": "pod not found", "status": 404}
