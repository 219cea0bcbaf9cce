"""The simulated Lambda, call by call, as its facts document has it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.lambda_cloud import LambdaClient


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def test_a_launch_boots_shows_its_address_and_is_active(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    made = lambda_api.create()
    early = lambda_api.show(made)
    clock.advance(1.5)
    later = lambda_api.show(made)
    clock.advance(1)

    assert len(made) == 32
    assert (early["status"], "ip" in early) == ("booting", False)
    assert (later["status"], "ip" in later) == ("booting", True)
    shown = lambda_api.show(made)
    assert (shown["status"], shown["name"], shown["ssh_key_names"]) == (
        "active",
        "job-1",
        ["a key"],
    )
    assert shown["tags"] == [{"key": "gpulease", "value": "job-1"}]
    assert shown["instance_type"]["price_cents_per_hour"] == 129
    assert lambda_api.ids() == [made]


def test_it_bills_whole_minutes_from_active_to_the_request_to_end_it(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    made = lambda_api.create()
    clock.advance(2)
    lambda_api.show(made)
    clock.advance(61)
    lambda_api.terminate(made)
    clock.advance(600)

    (row,) = lambda_cloud.machines()
    assert (row["ended_by"], row["billed_usd"]) == ("api", "0.043000")


def test_in_the_strict_mode_it_bills_from_the_launch(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    lambda_cloud.switch(bills_from_launch=True)
    lambda_cloud.fault("starting_stuck")
    lambda_api.create()
    clock.advance(60)

    assert lambda_cloud.machines()[0]["billed_usd"] == "0.021500"


@pytest.mark.parametrize(
    ("after_end", "by_id", "listed"),
    [("by_id", "terminated", False), ("listed", "terminated", True), ("unknown", None, False)],
)
def test_a_terminated_instance_terminates_for_a_while_then_is_as_the_switch_says(
    lambda_cloud: SimCloud,
    lambda_api: LambdaClient,
    clock: FakeClock,
    after_end: str,
    by_id: str | None,
    listed: bool,
) -> None:
    lambda_cloud.switch(after_end=after_end)
    made = lambda_api.create()

    (row,) = lambda_api.terminate(made).json()["data"]["terminated_instances"]
    assert (row["id"], row["status"]) == (made, "terminating")
    assert lambda_api.ids() == [made]
    clock.advance(21)

    reply = lambda_api.get(f"/instances/{made}")
    if by_id is None:
        assert refused(reply) == (404, "global/object-does-not-exist")
    else:
        assert reply.json()["data"]["status"] == by_id
    assert (made in lambda_api.ids()) is listed


def test_ending_twice_is_accepted_or_unknown_and_a_noop_ends_nothing(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    made = lambda_api.create()
    lambda_cloud.fault("delete_lies")

    (row,) = lambda_api.terminate(made).json()["data"]["terminated_instances"]
    assert row["status"] == "terminating"
    assert lambda_api.show(made)["status"] == "booting"
    assert lambda_api.terminate(made).status_code == 200
    assert lambda_api.terminate(made).status_code == 200
    lambda_cloud.switch(terminate_again="404")
    assert refused(lambda_api.terminate(made)) == (404, "global/object-does-not-exist")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"region_name": None}, 400, "global/invalid-parameters"),
        ({"quantity": 2}, 400, "global/invalid-parameters"),
        ({"ssh_key_names": ["a key", "another"]}, 400, "global/invalid-parameters"),
        ({"name": "x" * 65}, 400, "global/invalid-parameters"),
        ({"tags": [{"key": "Upper_case", "value": "x"}]}, 400, "global/invalid-parameters"),
        ({"user_data": "x" * 1_000_001}, 400, "global/invalid-parameters"),
        ({"image": {}}, 400, "global/invalid-parameters"),
        ({"region_name": "mars-1"}, 404, "global/object-does-not-exist"),
        ({"instance_type_name": "gpu_9x"}, 404, "global/object-does-not-exist"),
        ({"ssh_key_names": ["nobody's"]}, 404, "global/object-does-not-exist"),
        ({"image": {"family": "dos"}}, 404, "global/object-does-not-exist"),
        ({"file_system_names": ["none"]}, 404, "global/object-does-not-exist"),
        (
            {"region_name": "us-south-2"},
            400,
            "instance-operations/launch/insufficient-capacity",
        ),
    ],
)
def test_a_launch_that_is_not_in_order_makes_nothing(
    lambda_api: LambdaClient, changes: dict[str, Any], status: int, code: str
) -> None:
    lambda_api.add_key()

    assert refused(lambda_api.launch(**changes)) == (status, code)
    assert lambda_api.ids() == []


def test_what_is_missing_may_be_a_400(lambda_cloud: SimCloud, lambda_api: LambdaClient) -> None:
    lambda_cloud.switch(missing_status=400)

    assert refused(lambda_api.launch()) == (400, "global/object-does-not-exist")


def test_a_quantity_of_one_is_accepted(lambda_api: LambdaClient) -> None:
    assert lambda_api.create(quantity=1)


def test_capacity_is_told_and_taken_by_two_different_knobs(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    def regions() -> list[str]:
        item = lambda_api.data("/instance-types")["gpu_1x_a10"]
        return [one["name"] for one in item["regions_with_capacity_available"]]

    assert regions() == ["us-east-1", "us-west-1"]
    for _ in range(4):
        lambda_api.create()
    assert regions() == ["us-west-1"]
    refusal = "instance-operations/launch/insufficient-capacity"
    assert refused(lambda_api.launch()) == (400, refusal)
    lambda_cloud.fault("no_capacity")
    assert refused(lambda_api.launch(region_name="us-west-1")) == (400, refusal)
    lambda_cloud.switch(hides_capacity=True)
    assert regions() == []
    assert lambda_api.launch(region_name="us-west-1").status_code == 200


def test_a_quota_is_kept(lambda_cloud: SimCloud, lambda_api: LambdaClient) -> None:
    lambda_cloud.switch(most_instances=1)
    lambda_api.create()

    assert refused(lambda_api.launch()) == (400, "global/quota-exceeded")


@pytest.mark.parametrize(
    ("fault", "status"),
    [("5xx_after", 500), ("rate_limit_after", 429), ("html_after", 502), ("no_ids", 200)],
)
def test_a_launch_whose_answer_is_lost_has_made_an_instance(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, fault: str, status: int
) -> None:
    lambda_api.add_key()
    lambda_cloud.fault(fault, operation="create")

    reply = lambda_api.launch()

    assert reply.status_code == status
    assert fault != "no_ids" or reply.json() == {"data": {"instance_ids": []}}
    assert len(lambda_api.ids()) == 1


def test_a_connection_may_end_after_the_launch(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    lambda_api.add_key()
    lambda_cloud.fault("reply_lost", operation="create")

    with pytest.raises(httpx.TransportError):
        lambda_api.launch()
    assert len(lambda_api.ids()) == 1


def test_keys_come_by_bearer_and_basic_and_pythons_own_agent_is_blocked(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    key = lambda_cloud.env["LAMBDA_API_KEY"]
    with httpx.Client(base_url=lambda_api.base_url, trust_env=False) as bare:
        assert refused(bare.get("/instances")) == (401, "global/invalid-api-key")
        assert bare.get("/instances", auth=(key, "")).status_code == 200
        assert bare.get("/instances", auth=("wrong", "")).status_code == 401
        blocked = bare.get("/instances", headers={"User-Agent": "Python-urllib/3.11"})
    assert (blocked.status_code, blocked.text) == (403, "error code: 1010")
    assert blocked.headers["content-type"].startswith("text/plain")


def test_calls_and_launches_are_counted_when_they_are_to_be(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    lambda_api.create()
    lambda_cloud.switch(calls_per_s=1.0, launch_every_s=12.0)
    clock.advance(20)

    assert lambda_api.get("/instances").status_code == 200
    assert lambda_api.get("/instances").status_code == 429
    clock.advance(1)
    assert lambda_api.launch().status_code == 200
    clock.advance(11)
    limited = lambda_api.launch()
    assert (limited.status_code, "retry-after" in limited.headers) == (429, False)
    assert limited.json()["error"]
    lambda_cloud.switch(limit_has_body=False)
    assert lambda_api.get("/instances").content == b""
    clock.advance(1.5)
    assert lambda_api.launch().status_code == 200
    with LambdaClient(lambda_cloud.env, "SIMCLOUD_LAMBDA_OTHER_KEY") as other:
        assert other.get("/instances").status_code == 200


def test_pages_come_when_they_are_switched_on_and_a_null_token_may_be_left_out(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    made = [lambda_api.create() for _ in range(3)]
    whole = lambda_api.get("/instances").json()
    assert (whole["page_token"], len(whole["data"])) == (None, 3)
    lambda_cloud.switch(page_size=2)
    first = lambda_api.get("/instances").json()
    last = lambda_api.get("/instances", params={"page_token": first["page_token"]}).json()
    assert [row["id"] for row in first["data"] + last["data"]] == made[::-1]
    lambda_cloud.switch(page_size=0, shows_page_token=False)
    assert "page_token" not in lambda_api.get("/instances").json()


def test_later_fields_are_there_when_they_are_switched_on(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    made = lambda_api.create()
    assert "first_healthy" not in lambda_api.show(made)
    lambda_cloud.switch(shows_later_fields=True)
    assert lambda_api.show(made)["first_healthy"] is None
    clock.advance(3)
    assert lambda_api.show(made)["first_healthy"].startswith("2027")
    types = lambda_api.data("/instance-types")
    assert types["gpu_1x_gh200"]["instance_type"]["architecture"] == "arm64"


def test_an_instance_may_be_unhealthy_from_birth_or_later(
    lambda_cloud: SimCloud, lambda_api: LambdaClient, clock: FakeClock
) -> None:
    lambda_cloud.fault("born_unhealthy")
    born = lambda_api.create()
    lambda_cloud.fault("error_status", seconds=60)
    later = lambda_api.create()
    clock.advance(3)
    assert [lambda_api.show(one)["status"] for one in (born, later)] == ["unhealthy", "active"]
    clock.advance(61)
    assert lambda_api.show(later)["status"] == "unhealthy"
    bills = [str(row["billed_usd"]) for row in lambda_cloud.machines()]
    assert bills == ["0.000000", "0.043000"]


def test_eight_gpus_boot_longer(lambda_api: LambdaClient, clock: FakeClock) -> None:
    made = lambda_api.create(
        instance_type_name="gpu_8x_a100_80gb_sxm4", region_name="us-southeast-1"
    )
    clock.advance(7)
    assert lambda_api.show(made)["status"] == "booting"
    clock.advance(2)
    assert lambda_api.show(made)["status"] == "active"


def test_ssh_keys_are_named_once_and_removed_by_id(lambda_api: LambdaClient) -> None:
    made = lambda_api.add_key()

    again = lambda_api.post("/ssh-keys", json={"name": "a key", "public_key": "ssh-ed25519 B"})
    assert refused(again) == (400, "global/duplicate")
    assert lambda_api.data("/ssh-keys") == [made]
    assert lambda_api.delete(f"/ssh-keys/{made['id']}").json() == {"data": {}}
    gone = lambda_api.delete(f"/ssh-keys/{made['id']}")
    assert refused(gone) == (404, "global/not-found")


def test_another_account_sees_nothing_of_it(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    made = lambda_api.create()
    with LambdaClient(lambda_cloud.env, "SIMCLOUD_LAMBDA_OTHER_KEY") as other:
        assert (other.ids(), other.data("/ssh-keys")) == ([], [])
        assert refused(other.get(f"/instances/{made}"))[0] == 404
        assert refused(other.terminate(made))[0] == 404


def test_a_name_may_be_changed_and_tags_may_not(lambda_api: LambdaClient) -> None:
    made = lambda_api.create()

    assert lambda_api.post(f"/instances/{made}", json={"name": "pet"}).json()["data"]["id"] == made
    shown = lambda_api.show(made)
    assert (shown["name"], shown["tags"][0]["value"]) == ("pet", "job-1")


def test_a_malformed_id_is_told_from_an_unknown_one(lambda_api: LambdaClient) -> None:
    assert refused(lambda_api.get("/instances/abc")) == (400, "global/invalid-parameters")
    unknown = lambda_api.get(f"/instances/{'0' * 32}")
    assert refused(unknown) == (404, "global/object-does-not-exist")
    assert refused(lambda_api.get("/nowhere")) == (404, "global/not-found")


def test_a_restart_in_the_wrong_state_is_a_conflict(lambda_api: LambdaClient) -> None:
    made = lambda_api.create()
    reply = lambda_api.post("/instance-operations/restart", json={"instance_ids": [made]})

    assert refused(reply) == (409, "global/conflict")
