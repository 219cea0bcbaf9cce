"""Calls that go wrong: what a fault does to one, before or after it was carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from infra.simcloud.faults import Fault
from infra.simcloud.vast.limits import rate_limited, search_quota
from infra.simcloud.vast.problems import (
    Problem,
    auth_error,
    no_such_ask,
)
from infra.simcloud.web import Json, Reply, json_reply
from infra.simcloud.world import World

_HOLD_S = 120.0
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
_DONE_FIRST = ("5xx_after", "delete_5xx_done", "reply_lost", "timeout_after", "unreadable",
               "no_id", "html_200", "token_repeats", "empty_page", "balance_only",
               "balance_unknown")  # fmt: skip
_PHANTOM = 99_000_000

Act = Callable[[], Reply]


def carry_out(world: World, fault: Fault | None, facts: Mapping[str, str], act: Act) -> Reply:
    """The call, or what goes wrong with it now. Raises: Problem."""
    if fault is None:
        return act()
    if fault.name not in _DONE_FIRST:
        return _fail(world, fault, facts, act)
    try:
        reply = act()
    except Problem as problem:
        reply = problem.reply()
    return _spoil(world, fault, reply)


def _spoil(world: World, fault: Fault, reply: Reply) -> Reply:
    """What was done, told otherwise."""
    match fault.name:
        case "reply_lost":
            return Reply(cut=True)
        case "timeout_after":
            return Reply(cut=True, hold_s=world.delay_s(fault.seconds(_HOLD_S)))
        case "unreadable":
            return replace(reply, body=reply.body[: len(reply.body) // 2])
        case "html_200":
            return _page(200)
        case "5xx_after" if fault.number("status", 500) == 502:
            return _page(502)
        case "5xx_after" | "delete_5xx_done":
            status = int(fault.number("status", 500))
            return Problem(status, "server_error", "Something went wrong").reply()
    row = json.loads(reply.body)
    if reply.status == 200 and isinstance(row, dict):
        return json_reply(_altered(fault.name, row))
    return reply


def _altered(name: str, row: dict[str, Json]) -> dict[str, Json]:
    match name:
        case "no_id":
            row.pop("new_contract", None)
        case "token_repeats":
            row["next_token"] = "eyJ2YWx1ZXMiOiB7ImlkIjogMH19"  # behind id 0: the first page
        case "empty_page":
            token = "eyJ2YWx1ZXMiOiB7ImlkIjogMH19"
            row |= {"instances": [], "instances_found": 0, "next_token": token}
        case "balance_only":
            row.pop("credit", None)
        case "balance_unknown":
            row.pop("credit", None)
            row.pop("balance", None)
    return row


def _fail(world: World, fault: Fault, facts: Mapping[str, str], act: Act) -> Reply:
    """What was not done, or was, and a fault of this call alone."""
    if problem := _refusal(fault, facts):
        raise problem
    match fault.name:
        case "html_502":
            return _page(502)
        case "rate_limit":
            return rate_limited(fault)
        case "search_quota":
            return search_quota(world.clock.now_s())
        case "empty_object":
            return json_reply({})
        case "success_false":
            return json_reply({"success": False, "msg": "Something went wrong"})
        case "phantom":
            row: dict[str, Json] = {"success": True, "new_contract": _PHANTOM}
            return json_reply(row | {"instance_api_key": "0" * 32})
        case "get_null":
            return json_reply({"instances": None})
        case "delete_lies" if facts.get("id", "") in world.machines:
            return json_reply({"success": True, "msg": "Instance destroyed successfully"})
        case "billing_absent":
            return json_reply(
                {"success": True, "count": 0, "total": 0, "next_token": None, "results": []}
            )
    return act()


def _refusal(fault: Fault, facts: Mapping[str, str]) -> Problem | None:
    ask_id = int(facts.get("ask") or 0)
    status = int(fault.number("status", 503))
    wrong = "Something went wrong"
    not_own = f"error 403/3586: Offer {ask_id} is not your own. Hosts can only rent their own."
    refusals = {
        "5xx": Problem(status, "server_error", wrong),
        "list_page_fail": Problem(500, "server_error", wrong),
        "wrong_key": auth_error(404, "Invalid user key"),
        "forbidden": auth_error(403, "This key is not allowed to do this."),
        "tfa": auth_error(401, "Two Factor Authentication is required for this action."),
        "session_ended": auth_error(404, "Session expired. Please log in again."),
        "conflict": Problem(409, "conflict", "The request conflicts with another one."),
        "gone": Problem(410, "deprecated_endpoint", "This endpoint is deprecated."),
        "rule": Problem(400, "invalid_args", "error 400/3467: Invalid args"),
        "too_large": Problem(413, "invalid_request", "Request body too large"),
        "unprocessable": Problem(422, "invalid_request", "Extra inputs are not permitted"),
        "insufficient_funds": Problem(400, "insufficient_credit", "Insufficient credits"),
        "spend_rate_limit": Problem(400, "spend_rate_limit", "Verify your e-mail to spend more."),
        "offer_not_own": Problem(403, "invalid_args", not_own, ask_id=ask_id),
        "server_error": Problem(int(fault.number("status", 400)), "server_error", wrong),
        "delete_refused": Problem(200, "server_error", wrong),
        "start_unavailable": unavailable(),
    }
    if fault.name == "no_capacity":
        return no_such_ask(ask_id, str(fault.options.get("shape", "400")))
    return refusals.get(fault.name)


def unavailable() -> Problem:
    """A start without free GPUs: it is queued, and may be for ever."""
    msg = "Required resources are currently unavailable, state change queued."
    return Problem(200, "resources_unavailable", msg)


def _page(status: int) -> Reply:
    return Reply(status, _PAGE, {"Content-Type": "text/html"})
