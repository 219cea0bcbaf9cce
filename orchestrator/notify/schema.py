"""The JSON Schema of what a webhook is sent, for whoever receives it."""

from __future__ import annotations

from orchestrator.notify.message import Event

_TEXT = {"type": "string"}
_DOLLARS = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2,}$"}
_COMMON: dict[str, object] = {
    "schema": {"const": 1},
    "event": {"enum": [str(event) for event in Event]},
    "id": {**_TEXT, "description": "the same when a message is sent again"},
    "at": {**_TEXT, "format": "date-time", "description": "when it happened, UTC"},
    "run": _TEXT,
    "name": _TEXT,
    "state": _TEXT,
    "cap_usd": _DOLLARS,
    "spent_upper_usd": {**_DOLLARS, "description": "never below the provider's bill"},
}
_MORE: dict[Event, dict[str, object]] = {
    Event.STARTED: {},
    Event.CAP_SHARE: {"share": {"enum": ["0.5", "0.8", "0.95"]}},
    Event.FINISHED: {
        "outcome": {"type": ["string", "null"]},
        "exit_code": {"type": ["integer", "null"], "description": "what `receipt` ends with"},
        "problem": {"type": ["string", "null"]},
        "cost_usd": _DOLLARS,
        "returned": {
            "type": "object",
            "properties": {"proven": {"type": "boolean"}},
            "required": ["proven"],
        },
        "artifacts": {"type": "integer", "minimum": 0},
        "artifacts_missing": {"type": "array", "items": _TEXT, "maxItems": 20},
    },
    Event.NOT_RETURNED: {
        "machine": {
            "type": "object",
            "properties": {"provider": _TEXT, "id": {"type": ["string", "null"]}, "label": _TEXT},
            "required": ["provider", "id", "label"],
        }
    },
}


def event_schema() -> dict[str, object]:
    """Fields may be added to schema 1; none of these is ever taken away or means another thing."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What gpulease tells a webhook",
        "type": "object",
        "properties": _COMMON,
        "required": list(_COMMON),
        "allOf": [
            {
                "if": {"properties": {"event": {"const": str(event)}}},
                "then": {"properties": more, "required": list(more)},
            }
            for event, more in _MORE.items()
            if more
        ],
    }
