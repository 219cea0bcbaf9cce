"""GET /api/v1/invoices/: what was paid in, and nothing of what instances cost."""

from __future__ import annotations

import json
from collections.abc import Mapping

from infra.simcloud.accounts import Account
from infra.simcloud.web import Json, Reply, json_reply

_PAID_AT_S = 1_780_000_000.0


def listed(account: Account, query: Mapping[str, str]) -> Reply:
    """An account's one payment; without a range of days it is 200 and no success."""
    try:
        when = json.loads(query.get("select_filters", "{}"))["when"]
        is_within = when["gte"] <= _PAID_AT_S <= when["lte"]
    except (ValueError, KeyError, TypeError):
        nothing: dict[str, Json] = {"count": 0, "total": 0, "results": [], "next_token": None}
        return json_reply({"success": False, "error": "Invalid date range", **nothing})
    row: dict[str, Json] = {
        "start": _PAID_AT_S,
        "end": _PAID_AT_S,
        "type": "credit",
        "source": "stripe",
        "description": "Manual Billing",
        "amount": -float(account.credit_usd),
        "metadata": {"invoice_id": 1, "service": "stripe_payments"},
        "items": [],
    }
    rows: list[Json] = [row] if is_within else []
    return json_reply(
        {"success": True, "count": len(rows), "total": len(rows), "next_token": None,
         "results": rows}
    )  # fmt: skip
