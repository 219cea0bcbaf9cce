"""What the simulated Vast bills, and what it says of it a day later."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast

BOOT_S = 2.0


def billed_usd(cloud: SimCloud) -> float:
    return float(sum((Decimal(str(row["billed_usd"])) for row in cloud.machines()), Decimal(0)))


def charges(vast: Vast, since_s: float, until_s: float, **query: Any) -> dict[str, Any]:
    day = {"day": {"gte": since_s, "lte": until_s}, "type": {"in": ["instance"]}}
    asked = {"select_filters": json.dumps(day), "format": "table", **query}
    whole: dict[str, Any] = vast.get("/api/v0/charges/", params=asked).json()
    return whole


def run_for(vast: Vast, clock: FakeClock, seconds: float) -> int:
    """An instance that has run for so long; somebody looked whenever its state changed."""
    instance_id = vast.create()
    clock.advance(BOOT_S)
    vast.ids()
    clock.advance(seconds)
    return instance_id


def test_gpus_bill_while_it_runs_and_disk_from_its_creation(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    vast_cloud.fault("starting_stuck")
    stuck = vast.create()
    row = vast.show(stuck)
    clock.advance(3600)
    assert billed_usd(vast_cloud) == pytest.approx(row["storage_total_cost"], abs=1e-5)
    vast.destroy(stuck)
    before = billed_usd(vast_cloud)

    instance_id = run_for(vast, clock, 3600)
    row = vast.show(instance_id)
    vast.destroy(instance_id)

    expected = row["dph_total"] + row["storage_total_cost"] * BOOT_S / 3600
    assert billed_usd(vast_cloud) - before == pytest.approx(expected, abs=1e-4)


def test_a_stopped_instance_bills_its_disk_at_a_higher_rate_until_it_is_destroyed(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = run_for(vast, clock, 60)
    row = vast.show(instance_id)
    vast.change(instance_id, state="stopped")
    before = billed_usd(vast_cloud)
    clock.advance(36_000)

    grown = billed_usd(vast_cloud) - before
    assert grown == pytest.approx(12 * row["storage_total_cost"], rel=0.01)
    vast.destroy(instance_id)
    after = billed_usd(vast_cloud)
    clock.advance(36_000)
    assert billed_usd(vast_cloud) == after


def test_an_empty_account_stops_everything_and_later_deletes_it(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = run_for(vast, clock, 60)
    vast_cloud.switch(balance_usd="0")

    row = vast.show(instance_id)
    assert (row["actual_status"], row["cur_state"]) == ("stopped", "stopped")
    refused = vast.rent()
    assert refused.json()["error"] == "insufficient_credit"
    clock.advance(3600)
    assert vast.get("/api/v0/users/current/").json()["credit"] < 0, "its disk goes on billing"

    vast_cloud.switch(balance_usd="-2")
    assert vast.ids() == []
    assert vast_cloud.machines()[0]["ended_by"] == "provider"


def test_charges_come_a_day_later_and_add_up_to_the_bill(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    start_s = clock.now_s()
    instance_id = run_for(vast, clock, 7200)
    machine = vast_cloud.world.machines[str(instance_id)]
    machine.traffic.add_in(40 * 10**9)
    machine.traffic.add_out(2 * 10**9)
    vast.destroy(instance_id)
    clock.advance(3600)
    assert charges(vast, start_s, clock.now_s())["results"] == []

    clock.advance(86_400)
    whole = charges(vast, start_s, clock.now_s())

    (row,) = whole["results"]
    assert (whole["success"], whole["total"], whole["next_token"]) == (True, 1, None)
    assert row["source"] == f"instance-{instance_id}"
    assert row["metadata"] == {"label": "job-1"}
    assert row["amount"] == pytest.approx(billed_usd(vast_cloud), abs=1e-3)
    assert [item["type"] for item in row["items"]] == ["gpu", "disk", "bwd", "bwu"]
    assert sum(item["amount"] for item in row["items"]) == pytest.approx(row["amount"], abs=2e-3)


def test_charges_come_page_by_page_within_a_range_of_days(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    start_s = clock.now_s()
    for _ in range(3):
        vast.destroy(run_for(vast, clock, 3600))
    clock.advance(90_000)
    first = charges(vast, start_s, clock.now_s(), limit=2)
    second = charges(vast, start_s, clock.now_s(), limit=2, after_token=first["next_token"])

    assert [first["count"], second["count"], first["total"]] == [2, 1, 3]
    assert second["next_token"] is None
    without = vast.get("/api/v0/charges/")
    assert (without.status_code, "day" in without.json()["msg"]) == (400, True)
    bad = charges(vast, start_s, clock.now_s(), after_token="%")
    assert bad["error"] == "invalid_token"


def test_charges_may_be_missing_partial_or_later_still(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    start_s = clock.now_s()
    vast.destroy(run_for(vast, clock, 3600))
    clock.advance(90_000)

    def types() -> list[str]:
        rows = charges(vast, start_s, clock.now_s())["results"]
        return [item["type"] for row in rows for item in row["items"]]

    vast_cloud.fault("charges_partial")
    assert types() == ["gpu"]
    vast_cloud.clear_faults()
    vast_cloud.fault("billing_absent", times=1)
    assert types() == []
    vast_cloud.clear_faults()
    vast_cloud.fault("billing_lag_s", seconds=200_000)
    assert types() == []
    clock.advance(200_000)
    assert len(types()) == 4


def test_invoices_are_payments_and_want_a_range(vast: Vast) -> None:
    without = vast.get("/api/v1/invoices/")
    when = json.dumps({"when": {"gte": 0, "lte": 2_000_000_000}})
    (payment,) = vast.get("/api/v1/invoices/", params={"select_filters": when}).json()["results"]

    assert (without.status_code, without.json()["success"]) == (200, False)
    assert payment["amount"] == -250


def test_two_providers_have_two_accounts_and_one_bill(tmp_path: Any, clock: FakeClock) -> None:
    both = ("runpod", "vast")
    with (
        SimCloud(state=tmp_path, machines="memory", clock=clock, providers=both) as cloud,
        Vast(cloud.env) as vast,
    ):
        vast.create()
        clock.advance(7200)
        accounts = cloud.world.accounts
        assert accounts.balance_usd("runpod", "main") == 250
        assert accounts.balance_usd("vast", "main") < 250
        assert accounts.bill_usd() == accounts.bill_usd("vast") > 0
        cloud.switch(provider="vast", balance_usd="0.5")
        assert accounts.balance_usd("runpod", "main") == 250
        cloud.fault("key_revoked", provider="vast")
        assert vast.get("/api/v1/instances/").status_code == 404
        with pytest.raises(ValueError, match="lambda"):
            cloud.fault("5xx", provider="lambda", operation="list")
