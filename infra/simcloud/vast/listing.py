"""GET /api/v1/instances/: pages behind a key, filters on stored columns, chosen columns."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping

from infra.simcloud.vast import filters
from infra.simcloud.vast.filters import BadFilter
from infra.simcloud.vast.problems import Problem, invalid_query
from infra.simcloud.vast.shown import STORED
from infra.simcloud.web import Json

LARGEST_PAGE = 25

Row = dict[str, Json]


def list_page(rows: list[Row], query: Mapping[str, str], *, page_size: int) -> dict[str, Json]:
    """One page of an account's rows. Raises: Problem."""
    tests = _filters(query)
    columns = _items(query, "select_cols") or ["*"]
    try:
        filters.check(tests)
        found = [row for row in rows if filters.keep(row, tests)]
    except BadFilter as problem:
        raise invalid_query(f"Error in query parameters: {problem}") from None
    found = filters.ordered(found, [*_order(query), ("id", False)])
    start = _start(found, query["after_token"]) if query.get("after_token") else 0
    page = found[start : start + min(_limit(query), page_size)]
    more = start + len(page) < len(found)
    labels = Counter(str(row["label"] or "") for row in found)
    return {
        "success": True,
        "instances_found": len(page),
        "total_instances": len(found),
        "label_counts": dict(labels),
        "next_token": _token(page[-1]) if page and more else None,
        "instances": [_chosen(row, columns) for row in page],
    }


def _filters(query: Mapping[str, str]) -> dict[str, Json]:
    data = _read(query.get("select_filters") or "{}")
    if not isinstance(data, dict):
        raise invalid_query("Error in query parameters: select_filters is not an object")
    if bad := [name for name in data if name not in STORED]:
        raise invalid_query(f"Error in query parameters: {bad[0]} is not a valid search key")
    return data


def _items(query: Mapping[str, str], name: str) -> list[Json]:
    data = _read(query.get(name) or "[]")
    if not isinstance(data, list):
        raise invalid_query(f"Error in query parameters: {name} is not a list")
    return data


def _read(text: str) -> Json:
    try:
        data: Json = json.loads(text)
    except ValueError:
        raise invalid_query("Error in query parameters: invalid JSON") from None
    return data


def _limit(query: Mapping[str, str]) -> int:
    try:
        limit = int(query.get("limit", LARGEST_PAGE))
    except ValueError:
        raise invalid_query("Error in query parameters: limit") from None
    return min(limit, LARGEST_PAGE) if limit > 0 else 5


def _order(query: Mapping[str, str]) -> list[tuple[str, bool]]:
    made = []
    for one in _items(query, "order_by"):
        if not isinstance(one, dict) or one.get("col") not in STORED:
            raise invalid_query("Error in query parameters: order_by has no valid column")
        made.append((str(one["col"]), one.get("dir") == "desc"))
    return made


def _token(row: Row) -> str:
    return base64.urlsafe_b64encode(json.dumps({"values": {"id": row["id"]}}).encode()).decode()


def _start(rows: list[Row], token: str) -> int:
    """Where the page begins that a token asks for; its row may be gone meanwhile."""
    try:
        last = json.loads(base64.urlsafe_b64decode(token))["values"]["id"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Problem(400, "invalid_token", "after_token is not valid") from None
    ids = [int(str(row["id"])) for row in rows]
    if last in ids:
        return ids.index(last) + 1
    return next((place for place, one in enumerate(ids) if one > last), len(rows))


def _chosen(row: Row, columns: list[Json]) -> Row:
    if "*" in columns:
        return row
    return {str(name): row.get(str(name)) for name in columns}
