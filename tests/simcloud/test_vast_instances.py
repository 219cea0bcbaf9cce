"""Instances of the simulated Vast: from ask to destruction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast


def test_an_instance_from_ask_to_destruction(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    offer = vast.offer(gpu_name={"eq": "RTX 4090"}, allocated_storage=20)
    reply = vast.rent(offer["id"])
    assert reply.json()["success"] is True
    assert reply.json()["instance_api_key"]
    instance_id = reply.json()["new_contract"]
    seen = []
    for _ in range(10):
        seen.append(vast.show(instance_id)["actual_status"])
        clock.advance(0.3)

    assert list(dict.fromkeys(seen)) == [None, "loading", "running"]
    row = vast.show(instance_id)
    assert row["label"] == "job-1"
    assert row["machine_id"] == offer["machine_id"]
    assert row["dph_total"] == pytest.approx(offer["dph_total"])
    assert row["disk_space"] == 20
    assert row["is_bid"] is False
    assert row["extra_env"] == [["JOB", "seven"]]
    assert row["image_runtype"] == "ssh ssh_direc ssh_proxy"
    assert row["ports"]["22/tcp"][0]["HostPort"].isdecimal()
    assert row["cur_state"] == row["intended_status"] == "running"
    assert row["status_msg"].startswith("success, running")

    assert vast.destroy(instance_id).json()["success"] is True

    assert vast.get(f"/api/v0/instances/{instance_id}/").json() == {"instances": None}
    assert vast.page()["instances"] == []
    assert vast.destroy(instance_id).status_code == 404
    (machine,) = vast_cloud.machines()
    assert (machine["provider"], machine["id"]) == ("vast", str(instance_id))
    assert (machine["ended_by"], machine["label"]) == ("api", "job-1")


def test_ports_appear_when_it_runs_and_only_where_the_host_maps_them(
    vast: Vast, clock: FakeClock
) -> None:
    direct = vast.create()
    proxied = vast.create(runtype="ssh_proxy")
    without = vast.create(vast.search(direct_port_count={"eq": 0})[0]["id"])
    assert "ports" not in vast.show(direct)
    clock.advance(10)

    assert "22/tcp" in vast.show(direct)["ports"]
    for other in (proxied, without):
        assert "ports" not in vast.show(other)
        assert vast.show(other)["ssh_port"] > 0


def test_pages_follow_a_token_to_the_end(vast_cloud: SimCloud, vast: Vast) -> None:
    ids = [vast.create(vast.offer(num_gpus={"eq": 1})["id"]) for _ in range(28)]
    first = vast.page()
    assert len(first["instances"]) == first["instances_found"] == 25
    assert first["total_instances"] == 28
    assert first["label_counts"] == {"job-1": 28}
    second = vast.page(after_token=first["next_token"])

    assert [row["id"] for row in first["instances"] + second["instances"]] == ids
    assert second["next_token"] is None
    assert len(vast.page(limit=0)["instances"]) == 5
    vast_cloud.switch(page_size=1)
    assert len(vast.page()["instances"]) == 1


def test_a_page_goes_on_although_its_last_instance_is_gone(
    vast_cloud: SimCloud, vast: Vast
) -> None:
    vast_cloud.switch(page_size=1)
    one, two = vast.create(), vast.create()
    first = vast.page()
    vast.destroy(one)

    assert [row["id"] for row in vast.page(after_token=first["next_token"])["instances"]] == [two]


def test_the_list_is_filtered_ordered_and_cut_to_columns(vast: Vast) -> None:
    one, two = vast.create(label="one"), vast.create(label="two")

    found = vast.page(select_filters={"label": {"eq": "two"}}, select_cols=["id", "nothing"])
    down = vast.page(order_by=[{"col": "id", "dir": "desc"}])

    assert found["instances"] == [{"id": two, "nothing": None}]
    assert [row["id"] for row in down["instances"]] == [two, one]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"select_filters": {"dph_total": {"lt": 1}}}, "invalid_request"),
        ({"select_filters": {"id": 1}}, "invalid_request"),
        ({"order_by": [{"col": "moon"}]}, "invalid_request"),
        ({"after_token": "%%%"}, "invalid_token"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(
    vast: Vast, query: dict[str, Any], error: str
) -> None:
    assert vast.page(**query)["error"] == error


def test_the_old_list_is_retired_in_many_ways(vast_cloud: SimCloud, vast: Vast) -> None:
    vast.create()
    seen = []
    for way in ("410", "200_error", "empty", "full"):
        vast_cloud.switch(v0_list=way)
        reply = vast.get("/api/v0/instances/")
        seen.append((reply.status_code, reply.json().get("error"), "instances" in reply.json()))

    assert seen == [
        (410, "deprecated_endpoint", False),
        (200, "deprecated_endpoint", False),
        (200, None, True),
        (200, None, True),
    ]


def test_stop_keeps_the_record_and_start_brings_it_back(vast: Vast, clock: FakeClock) -> None:
    instance_id = vast.create()
    clock.advance(10)
    port = vast.show(instance_id)["ssh_port"]

    assert vast.change(instance_id, state="stopped").json() == {"success": True}
    row = vast.show(instance_id)
    assert [row[name] for name in ("cur_state", "intended_status", "next_state")] == ["stopped"] * 3
    assert row["actual_status"] == "stopped"
    assert "ports" not in row

    assert vast.change(instance_id, state="running").json() == {"success": True}
    clock.advance(10)
    assert vast.show(instance_id)["actual_status"] == "running"
    assert vast.show(instance_id)["ssh_port"] == port


def test_a_start_without_free_gpus_is_queued_with_status_200(vast: Vast, clock: FakeClock) -> None:
    offer = vast.offer(gpu_name={"eq": "RTX 5090"}, inet_down={"eq": 930})
    instance_id = vast.create(offer["id"])
    vast.change(instance_id, state="stopped")
    vast.create(vast.offer(gpu_name={"eq": "RTX 5090"}, inet_down={"eq": 930})["id"])

    reply = vast.change(instance_id, state="running")

    assert (reply.status_code, reply.json()["success"]) == (200, False)
    assert reply.json()["error"] == "resources_unavailable"
    assert vast.show(instance_id)["intended_status"] == "stopped"


def test_of_many_who_want_one_ask_one_gets_it(vast_cloud: SimCloud, vast: Vast) -> None:
    ask_id = vast.offer(gpu_name={"eq": "H100 SXM"}, datacenter={"eq": True})["id"]
    with ThreadPoolExecutor(8) as many:
        replies = list(many.map(lambda _: vast.rent(ask_id), range(8)))

    assert sorted(reply.status_code for reply in replies) == [200] + [400] * 7
    assert len(vast_cloud.machines()) == 1


def test_a_label_may_be_changed(vast_cloud: SimCloud, vast: Vast) -> None:
    instance_id = vast.create(label=None)
    assert vast.show(instance_id)["label"] is None

    assert vast.change(instance_id, label="new").status_code == 200

    assert vast.show(instance_id)["label"] == "new"
    assert vast_cloud.machines()[0]["label"] == "new"
    assert vast.change(instance_id, label="x" * 1025).json()["error"] == "label_too_long"


def test_a_price_makes_a_bid_and_a_low_one_leaves_a_stopped_instance(vast: Vast) -> None:
    offer = vast.offer()
    bid = vast.show(vast.create(offer["id"], price=offer["min_bid"]))
    low = vast.rent(price=0.01, cancel_unavail=False)
    cancelled = vast.rent(price=0.01)

    assert (bid["is_bid"], bid["dph_base"]) == (True, offer["min_bid"])
    assert low.status_code == 400
    left = vast.show(low.json()["new_contract"])
    assert (left["actual_status"], left["cur_state"]) == ("created", "stopped")
    assert (cancelled.status_code, cancelled.json()["error"]) == (410, "no_such_ask")
    assert len(vast.ids()) == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"image": None}, "invalid_args"),
        ({"image": "ghcr.io/acme/train"}, "server_error"),
        ({"disk": 7}, "invalid_args"),
        ({"disk": 100_000}, "invalid_args"),
        ({"env": "-e A=b"}, "invalid_args"),
        ({"env": {"A": "x" * 257}}, "invalid_args"),
        ({"env": {f"-p {port}:{port}": "1" for port in range(8000, 8065)}}, "invalid_args"),
        ({"onstart": "x" * 4097}, "invalid_args"),
        ({"runtype": "telnet"}, "invalid_args"),
        ({"price": 200}, "invalid_price"),
        ({"label": "x" * 257}, "label_too_long"),
        ({"vm": True}, "no_ssh_key_for_vm"),
        ({"name": "x"}, "invalid_args"),
        ({"disk": True}, "invalid_args"),
        ({"template_hash_id": "abc"}, "invalid_args"),
    ],
)
def test_a_create_that_breaks_a_rule_rents_nothing(
    vast: Vast, changes: dict[str, Any], error: str
) -> None:
    reply = vast.rent(**changes)

    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert vast.ids() == []


def test_keys_are_refused_as_vast_refuses_them(vast_cloud: SimCloud, vast: Vast) -> None:
    path = "/api/v0/users/current/"
    wrong = {"Authorization": "Bearer wrong"}
    with Vast(vast_cloud.env, key="") as nobody:
        seen = [nobody.get(path), vast.get(path, headers=wrong)]
        vast_cloud.switch(bad_key_status=401)
        seen.append(vast.get(path, headers=wrong))
        as_parameter = nobody.get(path, params={"api_key": vast_cloud.env["VAST_API_KEY"]})

    assert [reply.status_code for reply in seen] == [403, 404, 401]
    assert {reply.json()["error"] for reply in seen} == {"auth_error"}
    assert as_parameter.json()["credit"] == 250


def test_another_account_sees_nothing_and_may_nothing(vast_cloud: SimCloud, vast: Vast) -> None:
    instance_id = vast.create()
    with Vast(vast_cloud.env, key="SIMCLOUD_VAST_OTHER_KEY") as other:
        assert other.ids() == []
        assert other.get(f"/api/v0/instances/{instance_id}/").json() == {"instances": None}
        assert other.destroy(instance_id).status_code == 404
        mine, others = (one.get("/api/v0/users/current/").json()["id"] for one in (vast, other))
        assert mine != others
    with Vast(vast_cloud.env, key="SIMCLOUD_VAST_READ_ONLY_KEY") as reader:
        assert reader.ids() == [instance_id]
        assert reader.destroy(instance_id).status_code == 403
    assert vast.ids() == [instance_id]


def test_a_containers_key_reaches_its_own_instance_and_nothing_else(
    vast_cloud: SimCloud, vast: Vast
) -> None:
    reply = vast.rent().json()
    mine, other = reply["new_contract"], vast.create()
    key = {"Authorization": f"Bearer {reply['instance_api_key']}"}

    def ask(method: str, path: str, **body: Any) -> httpx.Response:
        return vast.request(method, path, json=body, headers=key)

    refused = [
        ask("GET", "/api/v1/instances/"),
        ask("GET", f"/api/v0/instances/{other}/"),
        ask("DELETE", f"/api/v0/instances/{other}/"),
        ask("PUT", f"/api/v0/asks/{vast.offer()['id']}/"),
    ]
    assert {one.status_code for one in refused} == {403}
    assert ask("GET", f"/api/v0/instances/{mine}/").json()["instances"]["id"] == mine
    assert ask("PUT", f"/api/v0/instances/{mine}/", state="stopped").json()["success"]
    assert ask("DELETE", f"/api/v0/instances/{mine}/").json()["success"]
    assert vast_cloud.machines()[0]["ended_by"] == "self"

    vast_cloud.switch(container_key_may=["show", "state"])
    again = vast.rent().json()
    key["Authorization"] = f"Bearer {again['instance_api_key']}"
    assert ask("DELETE", f"/api/v0/instances/{again['new_contract']}/").status_code == 403
