"""Billing records: what each pod cost in each bucket of time, some minutes late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.simcloud.runpod.problems import Problem, invalid
from infra.simcloud.runpod.shelves import PROVIDER
from infra.simcloud.runpod.timestamps import epoch_s, timestamp
from infra.simcloud.web import Json
from infra.simcloud.world import World

_BUCKETS = ("hour", "day", "week", "month", "year")
_DEFAULT_WINDOW_S = 30 * 86400.0
_MOST_BUCKETS = 10_000
_AMOUNTS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")


@dataclass(frozen=True, slots=True)
class _Query:
    since_s: float
    until_s: float
    bucket: str
    pod_id: str


def list_records(
    world: World, account: str, query: Mapping[str, str], *, lag_s: float
) -> dict[str, Json]:
    """GET /v2/billing/pods. Raises: Problem."""
    now_s = world.clock.now_s()
    asked = _read_query(query, now_s)
    seen_until_s = now_s - lag_s
    records: list[dict[str, Json]] = []
    start_s = asked.since_s
    while start_s < asked.until_s:
        end_s = next_bucket_s(start_s, asked.bucket)
        for machine in world.of(PROVIDER, account):
            if asked.pod_id in ("", machine.id):
                total, disk = machine.amounts_usd(start_s, min(end_s, seen_until_s), now_s)
                if total > 0:
                    records.append(_record(machine.id, start_s, end_s, total, disk))
        start_s = end_s
    echo: dict[str, Json] = {
        "startTime": timestamp(asked.since_s),
        "endTime": timestamp(asked.until_s),
        "bucketSize": asked.bucket,
        "podId": asked.pod_id or None,
    }
    totals: dict[str, Json] = {
        name: sum(_number(row[name]) for row in records) for name in _AMOUNTS
    }
    return {
        "records": list(records),
        "metadata": {
            "query": echo,
            "recordCount": len(records),
            "uniquePodCount": len({str(row["podId"]) for row in records}),
            "totals": totals,
        },
    }


def one_page(bill: dict[str, Json], cursor: str, *, size: int, says: bool) -> dict[str, Json]:
    """The records behind a cursor, under the sums of all of them; a cursor is not described.

    Args:
        says: that there is no further page is told too.

    Raises: Problem.
    """
    if cursor and not cursor.isdecimal():
        raise Problem(400, "invalid cursor")
    records, start = bill["records"], int(cursor or 0)
    assert isinstance(records, list)
    more = start + size < len(records)
    following = str(start + size) if more else None
    pagination: dict[str, Json] = {"nextCursor": following, "hasNextPage": more}
    page: dict[str, Json] = {**bill, "records": records[start : start + size]}
    return {**page, "pagination": pagination} if more or says else page


def without_records(answer: dict[str, Any]) -> dict[str, Json]:
    """The answer to the same query while nothing has arrived yet."""
    totals: dict[str, Json] = dict.fromkeys(_AMOUNTS, 0.0)
    counts: dict[str, Json] = {"recordCount": 0, "uniquePodCount": 0, "totals": totals}
    return {"records": [], "metadata": {**answer["metadata"], **counts}}


def bucket_start_s(at_s: float, bucket: str) -> float:
    """The start of the bucket that holds a moment."""
    moment = datetime.fromtimestamp(at_s, UTC).replace(minute=0, second=0, microsecond=0)
    if bucket != "hour":
        moment = moment.replace(hour=0)
    if bucket == "week":
        moment -= timedelta(days=moment.weekday())
    if bucket in ("month", "year"):
        moment = moment.replace(day=1)
    if bucket == "year":
        moment = moment.replace(month=1)
    return moment.timestamp()


def next_bucket_s(start_s: float, bucket: str) -> float:
    """The start of the bucket behind the one that starts at `start_s`.

    >>> next_bucket_s(0, "month") / 86400
    31.0
    """
    days = {"hour": 1 / 24, "day": 1, "week": 7, "month": 31, "year": 366}[bucket]
    return bucket_start_s(start_s + days * 86400, bucket)


def _read_query(query: Mapping[str, str], now_s: float) -> _Query:
    bucket = query.get("bucketSize", "day")
    if bucket not in _BUCKETS:
        raise invalid(f"bucketSize: value must be one of {', '.join(_BUCKETS)}")
    if "lastN" in query and ("startTime" in query or "endTime" in query):
        raise Problem(400, "lastN and startTime/endTime are mutually exclusive")
    until_s = epoch_s(query["endTime"], "endTime") if "endTime" in query else now_s
    since_s = until_s - _DEFAULT_WINDOW_S
    if "startTime" in query:
        since_s = epoch_s(query["startTime"], "startTime")
    since_s = bucket_start_s(since_s, bucket)
    if (snapped_s := bucket_start_s(until_s, bucket)) < until_s:
        until_s = next_bucket_s(snapped_s, bucket)
    if "lastN" in query:
        if not query["lastN"].isdecimal() or int(query["lastN"]) < 1:
            raise invalid("lastN: minimum: want 1")
        since_s = until_s
        for _ in range(min(int(query["lastN"]), _MOST_BUCKETS)):
            since_s = bucket_start_s(since_s - 1, bucket)
    if (until_s - since_s) / 3600 > _MOST_BUCKETS and bucket == "hour":
        raise Problem(400, "the window holds too many buckets")
    return _Query(since_s, until_s, bucket, query.get("podId", ""))


def _record(
    pod_id: str, start_s: float, end_s: float, total: float, disk: float
) -> dict[str, Json]:
    return {
        "startTime": timestamp(start_s),
        "endTime": timestamp(end_s),
        "podId": pod_id,
        "totalAmount": total,
        "gpuAmount": total - disk,
        "cpuAmount": 0.0,
        "diskAmount": disk,
    }


def _number(value: Json) -> float:
    assert isinstance(value, float)
    return value
