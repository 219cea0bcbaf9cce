"""Every fault of the simulated Vast, once: what the client sees, and what really happened."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import UnknownFault
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast


@pytest.mark.parametrize(
    ("fault", "options", "status", "word"),
    [
        ("no_capacity", {}, 400, "no_such_ask  Instance type by id"),
        ("no_capacity", {"shape": "404"}, 404, "no_such_ask Instance type by id"),
        ("no_capacity", {"shape": "410"}, 410, "no longer available"),
        ("no_capacity", {"shape": "200"}, 200, "no_such_ask"),
        ("no_capacity", {"shape": "409"}, 409, "no_such_ask"),
        ("insufficient_funds", {}, 400, "insufficient_credit"),
        ("spend_rate_limit", {}, 400, "spend_rate_limit"),
        ("offer_not_own", {}, 403, "not your own"),
        ("server_error", {}, 400, "server_error"),
        ("server_error", {"status": 500}, 500, "Something went wrong"),
        ("phantom", {}, 200, "99000000"),
        ("wrong_key", {}, 404, "Invalid user key"),
        ("forbidden", {}, 403, "auth_error"),
        ("tfa", {}, 401, "Two Factor Authentication"),
        ("session_ended", {}, 404, "Session expired"),
        ("5xx", {}, 503, "server_error"),
        ("html_502", {}, 502, "<html>"),
        ("success_false", {}, 200, "false"),
        ("empty_object", {}, 200, "{}"),
        ("rate_limit", {}, 429, "rate_limit_exceeded"),
        ("rate_limit", {"shape": "plain"}, 429, "API requests too frequent"),
        ("rate_limit", {"shape": "plain_threshold", "seconds": 4.5}, 429, ": endpoint threshold=4"),
        ("rate_limit", {"shape": "detail", "seconds": 4.5}, 429, "threshold=4.5"),
    ],
)
def test_a_create_that_is_refused_rents_nothing_and_the_next_one_works(
    vast_cloud: SimCloud, vast: Vast, fault: str, options: dict[str, Any], status: int, word: str
) -> None:
    vast_cloud.fault(fault, operation="create", **options)

    reply = vast.rent()

    assert (reply.status_code, word in reply.text) == (status, True), reply.text
    assert vast_cloud.machines() == []
    assert vast.rent().json()["success"] is True


@pytest.mark.parametrize(
    ("fault", "options", "status", "word"),
    [
        ("5xx_after", {}, 500, "server_error"),
        ("5xx_after", {"status": 502}, 502, "<html>"),
        ("html_200", {}, 200, "<html>"),
        ("no_id", {}, 200, '"success": true'),
        ("unreadable", {}, 200, '{"succ'),
    ],
)
def test_an_answer_says_nothing_of_the_instance_that_was_made(
    vast_cloud: SimCloud, vast: Vast, fault: str, options: dict[str, Any], status: int, word: str
) -> None:
    vast_cloud.fault(fault, operation="create", **options)

    reply = vast.rent()

    assert (reply.status_code, word in reply.text) == (status, True)
    assert "new_contract" not in reply.text[:-1] or fault == "unreadable"
    assert [row["label"] for row in vast.page()["instances"]] == ["job-1"]


@pytest.mark.parametrize("fault", ["reply_lost", "timeout_after"])
def test_a_reply_is_lost_although_the_instance_was_made(
    vast_cloud: SimCloud, vast: Vast, fault: str
) -> None:
    vast_cloud.fault(fault, operation="create", seconds=0.05)

    with pytest.raises(httpx.TransportError):
        vast.rent()

    assert len(vast.ids()) == 1


def test_an_error_may_carry_the_id_of_what_was_made(vast_cloud: SimCloud, vast: Vast) -> None:
    vast_cloud.fault("low_bid")

    reply = vast.rent()

    assert (reply.status_code, reply.json()["success"]) == (400, False)
    row = vast.show(reply.json()["new_contract"])
    assert {row[name] for name in ("cur_state", "next_state", "intended_status")} == {"stopped"}


def test_a_day_has_only_so_many_searches(vast_cloud: SimCloud, vast: Vast) -> None:
    vast_cloud.fault("search_quota")

    reply = vast.post("/api/v0/bundles/", json={})

    assert (reply.status_code, reply.json()["error"]) == (429, "search_quota_exceeded")
    assert int(reply.headers["X-RateLimit-Reset"]) % 86_400 == 0


def test_a_rate_limit_may_say_how_long(vast_cloud: SimCloud, vast: Vast) -> None:
    vast_cloud.fault("rate_limit", operation="get", shape="retry_after", seconds=7)

    assert vast.get("/api/v0/instances/1/").headers["Retry-After"] == "7"


def test_calls_that_come_too_soon_are_refused_where_that_is_wanted(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = vast.create()
    vast_cloud.switch(thresholds=True)

    def statuses(method: str, path: str) -> list[int]:
        return [vast.request(method, path, json={}).status_code for _ in range(2)]

    assert statuses("GET", "/api/v1/instances/") == [200, 429]
    assert statuses("GET", f"/api/v0/instances/{instance_id}/") == [200, 429]
    clock.advance(1.0)
    assert statuses("GET", "/api/v1/instances/") == [200, 429]
    assert vast.get(f"/api/v0/instances/{instance_id}/").status_code == 429
    searches = [vast.post("/api/v0/bundles/", json={}).status_code for _ in range(11)]
    assert searches == [200] * 10 + [429]
    assert statuses("DELETE", f"/api/v0/instances/{instance_id}/") == [200, 429]


def test_a_list_may_lag(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    vast_cloud.fault("list_lag_s", seconds=20)
    instance_id = vast.create()
    assert vast.ids() == []
    assert vast.show(instance_id)["id"] == instance_id

    clock.advance(21)
    vast.destroy(instance_id)
    assert vast.ids() == [instance_id]
    clock.advance(21)
    assert vast.ids() == []


def test_pages_may_lead_nowhere(vast_cloud: SimCloud, vast: Vast) -> None:
    vast_cloud.switch(page_size=1)
    one, two = vast.create(), vast.create()

    vast_cloud.fault("token_repeats", times=2)
    tokens = [vast.page()["next_token"] for _ in range(2)]
    vast_cloud.fault("empty_page")
    empty = vast.page()
    vast_cloud.fault("list_page_fail")
    following = vast.get("/api/v1/instances/", params={"after_token": tokens[0]})

    assert tokens[0] == tokens[1]
    assert (empty["instances"], bool(empty["next_token"])) == ([], True)
    assert following.status_code == 500
    assert vast.page(after_token=tokens[0])["instances"][0]["id"] == one
    assert two > one


def test_one_null_is_no_proof(vast_cloud: SimCloud, vast: Vast) -> None:
    instance_id = vast.create()
    vast_cloud.fault("get_null")

    path = f"/api/v0/instances/{instance_id}/"
    assert [vast.get(path).json()["instances"] is None for _ in range(2)] == [True, False]

    vast.destroy(instance_id)
    vast_cloud.switch(gone_instance="404")
    assert (vast.get(path).status_code, vast.get(path).json()["error"]) == (404, "no_such_instance")


@pytest.mark.parametrize(
    ("fault", "status"), [("delete_refused", 200), ("5xx", 503), ("rate_limit", 429)]
)
def test_a_deletion_is_refused_so_many_times(
    vast_cloud: SimCloud, vast: Vast, fault: str, status: int
) -> None:
    instance_id = vast.create()
    vast_cloud.fault(fault, operation="delete", times=2)

    replies = [vast.destroy(instance_id) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [status, status, 200]
    assert [reply.json()["success"] for reply in replies] == [False, False, True]


def test_a_deletion_may_lie_or_show_late(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    lied, late = vast.create(), vast.create()
    vast_cloud.fault("delete_lies")
    assert vast.destroy(lied).json()["success"] is True
    assert vast.ids() == [lied, late]

    vast_cloud.fault("delete_lags")
    assert vast.destroy(late).json()["success"] is True
    assert vast.ids() == [lied, late]
    assert vast.show(late)["id"] == late
    assert vast_cloud.machines()[1]["ended_by"] == "api"
    clock.advance(21)
    assert vast.ids() == [lied]
    assert vast.get(f"/api/v0/instances/{late}/").json() == {"instances": None}


def test_a_start_may_be_queued(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    instance_id = vast.create()
    clock.advance(10)
    vast.change(instance_id, state="stopped")
    vast_cloud.fault("start_unavailable")

    assert vast.change(instance_id, label="x").json()["success"] is True
    assert vast.change(instance_id, state="running").json()["error"] == "resources_unavailable"
    assert vast.change(instance_id, state="running").json()["success"] is True


@pytest.mark.parametrize(
    ("fault", "options", "status", "state", "word"),
    [
        ("boot_stuck", {}, None, "running", ""),
        ("created_stuck", {}, "created", "running", ""),
        ("starting_stuck", {}, "loading", "running", "pulling"),
        ("image_error", {}, "loading", "running", "toomanyrequests"),
        ("image_error", {"text": "no space left on device"}, "loading", "running", "no space"),
        ("oci_error", {}, "created", "stopped", "OCI runtime create failed"),
        ("oci_error", {"text": "manifest unknown"}, "created", "stopped", "manifest unknown"),
        ("odd_status", {}, "running", "running", "success"),
        ("odd_status", {"word": "frozen", "when": "running"}, "frozen", "running", "success"),
        ("vanishes", {}, "offline", "stopped", ""),
        ("goes_unknown", {"lasts": 1000}, "unknown", "running", "success"),
        ("exited", {}, "stopped", "stopped", ""),
        ("outbid", {}, "stopped", "stopped", "Outbid"),
        ("expires", {"seconds": 60}, "stopped", "stopped", "expired"),
    ],
)
def test_an_instance_that_does_not_come_up_or_stay(
    vast_cloud: SimCloud,
    vast: Vast,
    clock: FakeClock,
    fault: str,
    options: dict[str, Any],
    status: str | None,
    state: str,
    word: str,
) -> None:
    vast_cloud.fault(fault, **options)
    instance_id, next_one = vast.create(), vast.create()

    clock.advance(5)
    vast.ids()
    clock.advance(300)

    row = vast.show(instance_id)
    assert (row["actual_status"], row["cur_state"]) == (status, state)
    assert word in (row["status_msg"] or "")
    assert vast.show(next_one)["actual_status"] == "running"


def test_a_container_that_returns_flaps_between_exited_and_running(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    vast_cloud.fault("restart_loop", seconds=3)
    instance_id = vast.create()
    seen = []
    for _ in range(30):
        clock.advance(4)
        seen.append(vast.show(instance_id)["actual_status"])

    assert {"exited", "running"} <= set(seen)
    assert sum(one != other for one, other in itertools.pairwise(seen)) > 5


def test_a_word_for_a_status_may_be_new(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    vast_cloud.fault("odd_status", word="hydrating")
    vast_cloud.fault("loading_stopped", after=1)
    odd, stopped = vast.create(), vast.create()
    clock.advance(1)

    assert vast.show(odd)["actual_status"] == "hydrating"
    row = vast.show(stopped)
    assert (row["actual_status"], row["cur_state"]) == ("loading", "stopped")


def test_an_unknown_host_comes_back(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    vast_cloud.fault("goes_unknown", seconds=30)
    instance_id = vast.create()
    seen = []
    for _ in range(20):
        clock.advance(10)
        seen.append(vast.show(instance_id)["actual_status"])

    assert list(dict.fromkeys(seen)) == ["running", "unknown"]
    assert seen[-1] == "running"
    assert seen.count("unknown") == 12


def test_a_contract_that_is_over_cannot_be_started(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    vast_cloud.fault("expires", seconds=60)
    instance_id = vast.create()
    clock.advance(100)

    assert vast.show(instance_id)["duration"] < 0
    assert vast.change(instance_id, state="running").json()["success"] is False


def test_an_offer_that_ends_soon_ends_the_instance(vast: Vast, clock: FakeClock) -> None:
    offer = vast.offer(duration={"lt": 20_000})
    instance_id = vast.create(offer["id"])
    assert vast.show(instance_id)["end_date"] == offer["end_date"]

    clock.advance(offer["duration"] + 1)

    assert vast.show(instance_id)["actual_status"] == "stopped"


@pytest.mark.parametrize(
    ("fault", "in_list", "in_single"),
    [
        ("ports_list_only", True, False),
        ("ports_missing", False, False),
        ("ports_late", False, False),
        ("no_direct_ssh", False, False),
    ],
)
def test_ports_may_be_missing(
    vast_cloud: SimCloud,
    vast: Vast,
    clock: FakeClock,
    fault: str,
    in_list: bool,
    in_single: bool,
) -> None:
    vast_cloud.fault(fault)
    instance_id = vast.create()
    clock.advance(10)

    assert ("ports" in vast.page()["instances"][0], "ports" in vast.show(instance_id)) == (
        in_list, in_single,
    )  # fmt: skip
    clock.advance(30)
    assert ("ports" in vast.show(instance_id)) is (fault == "ports_late")


def test_rows_may_be_untidy(vast_cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    vast_cloud.fault("ports_host_ip_only")
    vast_cloud.fault("untidy_address")
    vast_cloud.fault("disk_smaller", factor=0.25)
    vast_cloud.fault("price_above", factor=1.3)
    offer = vast.offer(allocated_storage=20)
    instance_id = vast.create(offer["id"])
    clock.advance(10)

    row = vast.show(instance_id)
    assert row["ports"] == {"22/tcp": [{"HostIp": "0.0.0.0"}]}
    assert row["public_ipaddr"] == "127.0.0.1\n"
    assert row["disk_space"] == 5
    assert row["dph_base"] == pytest.approx(1.3 * offer["dph_base"])


def test_an_account_may_say_less_than_it_knows(vast_cloud: SimCloud, vast: Vast) -> None:
    vast_cloud.fault("balance_only")
    vast_cloud.fault("balance_unknown")

    rows = [vast.get("/api/v0/users/current/").json() for _ in range(3)]

    assert [("credit" in row, "balance" in row) for row in rows] == [
        (False, True), (False, False), (True, True),
    ]  # fmt: skip


def test_a_reclaimed_bid_stops_and_comes_back_for_more_money(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    offer = vast.offer()
    instance_id = vast.create(offer["id"], price=0.2)
    clock.advance(10)

    vast_cloud.machine_fault(str(instance_id), "spot_reclaim")
    row = vast.show(instance_id)
    assert {row[name] for name in ("cur_state", "next_state", "intended_status")} == {"stopped"}
    path = f"/api/v0/instances/bid_price/{instance_id}/"
    low = vast.put(path, json={"client_id": "me", "price": 0.0001})
    assert low.json()["msg"] == "Please set a bid price >= 0.001."
    assert vast.put(path, json={"client_id": "me", "price": 0.3}).json() == {"success": True}
    clock.advance(10)

    row = vast.show(instance_id)
    assert (row["actual_status"], row["dph_base"]) == ("running", 0.3)


def test_the_control_server_reclaims_a_bid_gives_it_back_and_moves_bytes(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = vast.create(vast.offer(inet_up_cost={"gt": 0})["id"], price=0.5)
    clock.advance(10)
    vast.ids()
    with httpx.Client(base_url=vast_cloud.url, trust_env=False) as control:
        fault = f"/machines/{instance_id}/fault"
        assert control.post(fault, json={"fault": "spot_reclaim"}).status_code == 200
        assert control.post(fault, json={"fault": "spot_reclaim"}).status_code == 400
        (row,) = control.get("/machines").json()
        assert (row["provider"], row["status"]) == ("vast", "stopped")
        assert control.post(fault, json={"fault": "spot_return"}).status_code == 200
        before = float(row["billed_usd"])
        moved = {"bytes_in": 0, "bytes_out": 100 * 10**9}
        control.post(f"/machines/{instance_id}/traffic", json=moved)
        (row,) = control.get("/machines").json()

    shown = vast.show(instance_id)
    assert float(row["billed_usd"]) - before == pytest.approx(100 * shown["inet_up_cost"], abs=1e-4)
    assert shown["inet_up_billed"] == 100
    clock.advance(10)
    assert vast.show(instance_id)["actual_status"] == "running"


def test_a_lost_host_is_shown_offline_until_somebody_destroys_it(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = vast.create()
    clock.advance(10)
    vast_cloud.machine_fault(str(instance_id), "host_lost")
    billed = vast_cloud.machines()[0]["billed_usd"]
    clock.advance(3600)

    assert vast.show(instance_id)["actual_status"] == "offline"
    assert vast_cloud.machines()[0]["billed_usd"] == billed
    assert vast.destroy(instance_id).status_code == 200
    assert vast_cloud.machines()[0]["ended_by"] == "api"


def test_faults_of_vast_are_not_runpods(vast_cloud: SimCloud, cloud: SimCloud) -> None:
    vast_cloud.world.faults.add("vast", "create", "phantom")
    with pytest.raises(UnknownFault, match="phantom"):
        vast_cloud.world.faults.add("vast", "create", "fantom")
    with pytest.raises(UnknownFault):
        cloud.world.faults.add("runpod", "create", "phantom")
