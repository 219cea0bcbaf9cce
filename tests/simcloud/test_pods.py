"""Pods over v2: their life, their list, who may touch them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.runpod.problems import NO_CAPACITY
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api, body


def test_a_pod_boots_runs_and_is_gone(api: Api, clock: FakeClock) -> None:
    pod = api.create()
    assert (pod["status"], pod["runtime"], pod["ssh"]["direct"]) == ("PROVISIONING", None, None)

    clock.advance(1.0)
    assert api.pod(pod["id"])["status"] == "STARTING"

    clock.advance(1.0)
    running = api.pod(pod["id"])
    assert running["status"] == "RUNNING"
    assert running["runtime"]["ports"][0]["public"] == running["ssh"]["direct"]["port"]

    assert api.delete(f"/pods/{pod['id']}").status_code == 204
    assert api.get(f"/pods/{pod['id']}").status_code == 404
    assert api.delete(f"/pods/{pod['id']}").status_code == 404
    assert api.names() == []


def test_the_same_seed_gives_the_same_ids_and_keys(tmp_path: Any) -> None:
    seen = []
    for name in ("one", "two"):
        with (
            SimCloud(state=tmp_path / name, machines="memory", clock=FakeClock(), seed=3) as cloud,
            Api(cloud.env) as api,
        ):
            seen.append((cloud.env["RUNPOD_API_KEY"], api.create()["id"]))

    assert seen[0] == seen[1]


def test_a_list_has_pages_newest_first(cloud: SimCloud, api: Api) -> None:
    cloud.switch(page_size=1)
    for name in ("first", "second", "third"):
        api.create(name=name)

    names, cursor = [], None
    for _ in range(3):
        page = api.get("/pods", params={"cursor": cursor} if cursor else {}).json()
        names += [pod["name"] for pod in page["pods"]]
        cursor = page["pagination"]["nextCursor"]

    assert names == ["third", "second", "first"]
    assert cursor is None
    assert page["pagination"]["hasNextPage"] is False


def test_a_page_goes_on_although_its_last_pod_ended(cloud: SimCloud, api: Api) -> None:
    cloud.switch(page_size=1)
    old, new = api.create(name="old"), api.create(name="new")
    cursor = api.get("/pods").json()["pagination"]["nextCursor"]

    api.delete(f"/pods/{new['id']}")

    rest = api.get("/pods", params={"cursor": cursor}).json()["pods"]
    assert [pod["id"] for pod in rest] == [old["id"]]


def test_a_list_that_lags_misses_the_new_and_shows_the_ended(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    cloud.fault("list_lag_s", seconds=10)
    pod = api.create()

    assert api.names() == []
    clock.advance(10)
    assert api.names() == ["a-pod"]

    api.delete(f"/pods/{pod['id']}")
    assert api.names() == ["a-pod"]
    assert api.get(f"/pods/{pod['id']}").status_code == 404
    clock.advance(10)
    assert api.names() == []


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"name": None}, 422, "missing property 'name'"),
        ({"name": ""}, 422, "name"),
        ({"image": None}, 422, "missing property 'image'"),
        ({"terminateAfter": "1h"}, 422, "'terminateAfter' not allowed"),
        ({"disk": "20"}, 422, "disk"),
        ({"disk": True}, 422, "disk"),
        ({"cloud": "ALL"}, 422, "cloud"),
        ({"env": {"A": 1}}, 422, "env"),
        ({"gpu": None}, 400, "exactly one"),
        ({"cpu": {"id": "cpu5c", "vcpuCount": 2}}, 400, "exactly one"),
        ({"gpu": {"id": "NVIDIA L4"}}, 400, NO_CAPACITY),
        ({"gpu": {"id": "NVIDIA L4", "count": 9}}, 400, NO_CAPACITY),
        ({"gpu": {"id": "NVIDIA L4", "count": 1, "minCudaVersion": "13.9"}}, 400, NO_CAPACITY),
        ({"gpu": {"id": "NVIDIA L4", "count": 1, "minCudaVersion": "12"}}, 422, "major.minor"),
        ({"gpu": {"id": "NVIDIA Z9", "count": 1}}, 400, "unknown gpu"),
        ({"cloud": "COMMUNITY"}, 400, NO_CAPACITY),
        ({"dataCenterIds": ["US-TX-3"]}, 400, NO_CAPACITY),
        ({"dataCenterIds": ["us-tx-3"]}, 400, "unknown data center"),
        ({"ports": ["22"]}, 400, "ports"),
        ({"env": {f"E{n}": "" for n in range(51)}}, 400, "50"),
        ({"templateId": "t1"}, 404, "template"),
        ({"args": "sh -c 'open"}, 400, "args"),
        ({"image": "x" * 200_000}, 413, "exceeds"),
    ],
)
def test_a_wrong_create_is_refused_and_rents_nothing(
    cloud: SimCloud, api: Api, changes: dict[str, Any], status: int, word: str
) -> None:
    reply = api.post("/pods", json=body(**changes))

    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert word in reply.text.replace('\\"', '"')
    assert cloud.machines() == []


def test_what_is_rented_leaves_the_stock_and_comes_back(cloud: SimCloud, api: Api) -> None:
    card = {"id": "NVIDIA H100 80GB HBM3", "count": 8}
    pod = api.create(gpu=card)

    assert NO_CAPACITY in api.post("/pods", json=body(gpu=card)).text
    api.delete(f"/pods/{pod['id']}")
    assert api.post("/pods", json=body(gpu=card)).status_code == 201


def test_a_pod_stops_without_pay_and_starts_at_another_address(api: Api, clock: FakeClock) -> None:
    pod = api.create()
    clock.advance(2)
    before = api.pod(pod["id"])

    stopped = api.post(f"/pods/{pod['id']}/action", json={"action": "stop"}).json()
    assert (stopped["status"], stopped["cost"], stopped["actions"]) == (
        "EXITED", 0.0, ["start", "terminate"],
    )  # fmt: skip
    assert api.post(f"/pods/{pod['id']}/action", json={"action": "stop"}).status_code == 409

    api.post(f"/pods/{pod['id']}/action", json={"action": "start"})
    clock.advance(2)
    after = api.pod(pod["id"])
    assert after["status"] == "RUNNING"
    assert after["ssh"]["direct"]["port"] != before["ssh"]["direct"]["port"]


def test_a_key_sees_only_its_own_account(cloud: SimCloud, api: Api) -> None:
    pod = api.create()

    with Api(cloud.env, "SIMCLOUD_RUNPOD_OTHER_KEY") as other:
        assert other.names() == []
        assert other.get(f"/pods/{pod['id']}").status_code == 404
        assert other.delete(f"/pods/{pod['id']}").status_code == 404
    assert api.names() == ["a-pod"]


def test_a_read_only_key_may_read(cloud: SimCloud, api: Api) -> None:
    pod = api.create()

    with Api(cloud.env, "SIMCLOUD_RUNPOD_READ_ONLY_KEY") as reader:
        assert reader.names() == ["a-pod"]
        assert reader.delete(f"/pods/{pod['id']}").status_code == 403
        assert reader.post("/pods", json=body()).status_code == 403


def test_no_key_and_a_wrong_key_are_told_apart(cloud: SimCloud) -> None:
    with Api(cloud.env, "") as nobody:
        assert nobody.get("/pods").json() == {
            "title": "Unauthorized",
            "status": 401,
            "detail": "missing bearer token",
        }
        reply = nobody.get("/pods", headers={"Authorization": "Bearer rpa_WRONG"})
    assert reply.status_code == 401


def test_a_revoked_key_is_refused_until_it_is_restored(cloud: SimCloud, api: Api) -> None:
    cloud.fault("key_revoked")
    assert api.get("/pods").status_code == 401

    cloud.fault("key_restored")
    assert api.get("/pods").status_code == 200


@pytest.mark.parametrize(
    ("ways", "action", "delete", "graphql"),
    [
        (["v2", "graphql"], 204, 403, True),
        (["delete"], 403, 204, False),
        ([], 403, 403, False),
    ],
)
def test_a_pods_own_key_ends_it_as_the_switches_say(
    cloud: SimCloud, api: Api, ways: list[str], action: int, delete: int, graphql: bool
) -> None:
    cloud.switch(pod_key_ways=ways)
    asks = {
        "action": lambda inside, at: inside.post(f"{at}/action", json={"action": "terminate"}),
        "delete": lambda inside, at: inside.delete(at),
    }
    for name, expected in (("action", action), ("delete", delete)):
        pod = api.create()
        with pod_client(cloud, pod["id"]) as inside:
            assert inside.get(f"/pods/{pod['id']}").status_code == 403
            assert asks[name](inside, f"/pods/{pod['id']}").status_code == expected
        ended = cloud.machines()[-1]["ended_by"]
        assert ended == ("self" if expected == 204 else None)

    pod = api.create()
    with pod_client(cloud, pod["id"]) as inside:
        inside.graphql(f'mutation{{podTerminate(input:{{podId:"{pod["id"]}"}})}}')
    assert (cloud.machines()[-1]["ended_by"] == "self") is graphql


def test_a_pods_key_cannot_touch_another_pod(cloud: SimCloud, api: Api) -> None:
    pod, other = api.create(), api.create()

    with pod_client(cloud, pod["id"]) as inside:
        reply = inside.post(f"/pods/{other['id']}/action", json={"action": "terminate"})

    assert reply.status_code == 403


def test_the_platforms_variables_shadow_the_users(cloud: SimCloud, api: Api) -> None:
    pod = api.create(env={"RUNPOD_API_KEY": "mine", "A": "b"})

    boot = cloud.world.machines[pod["id"]].boot
    assert boot is not None
    assert boot.environment["A"] == "b"
    assert boot.environment["RUNPOD_POD_ID"] == pod["id"]
    assert boot.environment["RUNPOD_API_KEY"].startswith("rpa_")


def test_account_keys_are_injected_unless_the_pod_brings_its_own(cloud: SimCloud, api: Api) -> None:
    api.put("/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA operator"]})

    without, with_own = api.create(), api.create(env={"PUBLIC_KEY": "ssh-ed25519 AAAA run"})

    boots = [cloud.world.machines[pod["id"]].boot for pod in (without, with_own)]
    keys = [boot.environment["PUBLIC_KEY"] for boot in boots if boot]
    assert keys == ["ssh-ed25519 AAAA operator", "ssh-ed25519 AAAA run"]


def test_every_answer_has_its_rates_and_a_number_of_its_own(api: Api) -> None:
    replies = [api.get("/pods"), api.get("/nowhere"), api.delete("/pods")]

    assert [reply.status_code for reply in replies] == [200, 404, 405]
    assert replies[2].headers["Allow"] == "GET, POST"
    assert len({reply.headers["x-request-id"] for reply in replies}) == 3
    assert all('"minute";q=60;w=60' in reply.headers["RateLimit-Policy"] for reply in replies)


def test_v1_is_gone(cloud: SimCloud, api: Api) -> None:
    v1 = cloud.env["GPULEASE_RUNPOD_URL"].replace("/v2", "/v1/pods")

    assert api.get(v1).status_code == 410


def test_an_empty_account_loses_its_pods_and_can_rent_no_more(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    api.create()
    cloud.switch(balance_usd=0.5)
    clock.advance(2 * 3600)

    assert api.names() == []
    assert cloud.machines()[0]["ended_by"] == "provider"
    assert api.post("/pods", json=body()).status_code == 402


def pod_client(cloud: SimCloud, pod_id: str) -> Api:
    boot = cloud.world.machines[pod_id].boot
    assert boot is not None
    return Api({**cloud.env, **boot.environment})
