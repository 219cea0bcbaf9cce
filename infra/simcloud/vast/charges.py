"""What Vast says an instance cost: hours later, by instance, rounded to a tenth of a cent."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from infra.simcloud.rented import Rented
from infra.simcloud.vast.facts import facts_of
from infra.simcloud.vast.hosts import PROVIDER
from infra.simcloud.vast.problems import Problem
from infra.simcloud.web import Json
from infra.simcloud.world import World


def list_charges(
    world: World,
    account: str,
    query: Mapping[str, str],
    *,
    lag_s: float,
    whole: bool,
    page_size: int,
) -> dict[str, Json]:
    """GET /api/v0/charges/; not `whole`: only what GPUs cost has arrived. Raises: Problem."""
    since_s, until_s = _days(query)
    now_s = world.clock.now_s()
    rows = [
        row
        for machine in world.of(PROVIDER, account)
        if (row := _charge(machine, since_s, min(until_s, now_s - lag_s), now_s, whole=whole))
    ]
    start = _start(query.get("after_token", ""))
    page = rows[start : start + _limit(query, page_size)]
    more = start + len(page) < len(rows)
    token = base64.urlsafe_b64encode(json.dumps({"offset": start + len(page)}).encode()).decode()
    return {
        "success": True,
        "count": len(page),
        "total": len(rows),
        "next_token": token if more else None,
        "results": list(page),
    }


def _days(query: Mapping[str, str]) -> tuple[float, float]:
    try:
        day = json.loads(query.get("select_filters", "{}"))["day"]
        return float(day["gte"]), float(day["lte"])
    except (ValueError, KeyError, TypeError):
        msg = "Must provide both 'day' gte and lte filters for instance charges"
        raise Problem(400, "invalid_request", msg) from None


def _limit(query: Mapping[str, str], most: int) -> int:
    text = query.get("limit", "")
    return min(int(text), most) if text.isdecimal() and int(text) else most


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["offset"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Problem(400, "invalid_token", "after_token is not valid") from None


def _charge(
    machine: Rented, since_s: float, until_s: float, now_s: float, *, whole: bool
) -> dict[str, Json] | None:
    """What one instance cost in a stretch of time; nothing where it cost nothing."""
    total, disk = machine.amounts_usd(since_s, until_s, now_s)
    ended_s = min(until_s, machine.ended_s or now_s)
    traffic = machine.traffic
    ends_within = since_s <= ended_s <= until_s and ended_s >= machine.created_s
    # Bytes carry no time here: they are on the bill of the stretch in which the instance ends.
    usd_in = float(machine.usd_per_gb_in) * traffic.bytes_in / 1e9 if ends_within else 0.0
    usd_out = float(machine.usd_per_gb_out) * traffic.bytes_out / 1e9 if ends_within else 0.0
    amount = total + usd_in + usd_out
    if amount <= 0:
        return None
    start_s = max(since_s, machine.created_s)
    facts = facts_of(machine)
    hours = sum(
        max(0.0, min(span.end_s(now_s), until_s) - max(span.since_s, since_s)) / 3600
        for span in machine.spans
        if span.usd_per_hour > span.disk_usd_per_hour
    )
    rate = float(machine.usd_per_hour - machine.disk_usd_per_hour)
    parts = [
        ("gpu", f"{hours:.3f} hours at ${rate:.3f}/hour", total - disk),
        ("disk", f"{float(facts.disk_gb):.1f} GB", disk),
        ("bwd", f"{traffic.bytes_in / 1e9:.3f} GB", usd_in),
        ("bwu", f"{traffic.bytes_out / 1e9:.3f} GB", usd_out),
    ]
    if not whole:
        parts, amount = parts[:1], total - disk
    return {
        "start": int(start_s),
        "end": int(ended_s),
        "type": "instance",
        "source": f"instance-{machine.id}",
        "description": f"Instance {machine.id} Charges",
        "amount": round(amount, 3),
        "metadata": {"label": facts.label},
        "items": [
            {
                "start": int(start_s),
                "end": int(ended_s),
                "type": kind,
                "source": None,
                "description": text,
                "amount": round(usd, 3),
                "metadata": {},
                "items": [],
            }
            for kind, text, usd in parts
        ],
    }
