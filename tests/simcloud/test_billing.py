"""The meter, the bill, and the records that come some minutes late."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.control import bill
from infra.simcloud.runpod.billing import bucket_start_s, next_bucket_s
from orchestrator.clock import FakeClock, to_iso
from tests.simcloud.api import Api

L4_USD = Decimal("0.43") + 20 * Decimal("0.10") / 730


def test_a_pod_bills_each_begun_second_from_placement_to_deletion(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    pod = api.create()
    clock.advance(1800.4)
    api.delete(f"/pods/{pod['id']}")
    clock.advance(3600)

    expected = (L4_USD * 1801 / 3600).quantize(Decimal("0.0001"))
    assert billed_usd(cloud).quantize(Decimal("0.0001")) == expected
    assert bill(cloud.world)["total_usd"] == str(billed_usd(cloud))


def test_a_stopped_pod_bills_only_its_volume(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    volume = {"persistent": {"size": 100, "path": "/workspace"}}
    plain, with_volume = api.create(), api.create(mounts=volume)
    for pod in (plain, with_volume):
        api.post(f"/pods/{pod['id']}/action", json={"action": "stop"})
    clock.advance(36_000)

    bills = [Decimal(str(row["billed_usd"])) for row in cloud.machines()]
    assert bills[0] == 0
    assert float(bills[1]) == pytest.approx(10 * 100 * 0.20 / 730, abs=1e-5)


def test_records_lag_and_then_add_up_to_the_bill(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    start_s = clock.now_s()
    pod = api.create()
    clock.advance(5000)
    api.delete(f"/pods/{pod['id']}")
    query = {"startTime": to_iso(start_s), "bucketSize": "hour", "podId": pod["id"]}

    early = api.get("/billing/pods", params=query).json()["metadata"]["totals"]["totalAmount"]
    clock.advance(300)
    whole = api.get("/billing/pods", params=query).json()

    assert early == pytest.approx(float(L4_USD) * 4700 / 3600)
    total_usd = whole["metadata"]["totals"]["totalAmount"]
    assert total_usd == pytest.approx(float(billed_usd(cloud)), abs=1e-6)
    assert whole["metadata"]["recordCount"] == len(whole["records"]) == 2
    assert {row["podId"] for row in whole["records"]} == {pod["id"]}


def test_records_come_in_pages_under_the_sums_of_all_of_them(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    query = {"startTime": to_iso(clock.now_s()), "bucketSize": "hour"}
    api.create()
    clock.advance(3 * 3600)
    whole = api.get("/billing/pods", params=query).json()
    cloud.switch(bill_page_size=1)

    pages: list[dict[str, Any]] = []
    cursor = ""
    while not pages or cursor:
        asked = {**query, "cursor": cursor} if cursor else query
        pages.append(api.get("/billing/pods", params=asked).json())
        cursor = pages[-1]["pagination"]["nextCursor"]

    assert [row for page in pages for row in page["records"]] == whole["records"]
    assert len(pages) == len(whole["records"]) > 1
    assert {page["metadata"]["recordCount"] for page in pages} == {len(pages)}
    assert api.get("/billing/pods", params={**query, "cursor": "x"}).status_code == 400


def test_the_records_window_has_rules(api: Api) -> None:
    def status(**query: str) -> int:
        return api.get("/billing/pods", params=query).status_code

    assert status(lastN="24", bucketSize="hour") == 200
    assert status(lastN="24", startTime="2026-11-23T00:00:00Z") == 400
    assert status(bucketSize="fortnight") == 422
    assert status(startTime="yesterday") == 422


def test_buckets_begin_and_end_where_people_expect() -> None:
    at_s = 1_795_485_299.0  # 2026-11-24, a Tuesday, 01:54:59
    starts = {
        bucket: to_iso(bucket_start_s(at_s, bucket))
        for bucket in ("hour", "day", "week", "month", "year")
    }
    assert starts == {
        "hour": "2026-11-24T01:00:00Z",
        "day": "2026-11-24T00:00:00Z",
        "week": "2026-11-23T00:00:00Z",
        "month": "2026-11-01T00:00:00Z",
        "year": "2026-01-01T00:00:00Z",
    }
    assert to_iso(next_bucket_s(bucket_start_s(at_s, "month"), "month")) == "2026-12-01T00:00:00Z"
    assert to_iso(next_bucket_s(bucket_start_s(at_s, "year"), "year")) == "2027-01-01T00:00:00Z"


def billed_usd(cloud: SimCloud) -> Decimal:
    return sum((Decimal(str(row["billed_usd"])) for row in cloud.machines()), Decimal(0))
