"""What Vast.ai's published API description says of the calls that the client makes."""

from __future__ import annotations

from typing import Any

from tests.providers.differences import sent
from tests.providers.oracle import Oracle
from tests.providers.published import Description

DESCRIPTION = Description(
    "vast",
    "vast.yaml",
    {
        "/api/v0/asks/{id}": ("put",),
        "/api/v0/bundles": ("post",),
        "/api/v0/charges": ("get",),
        "/api/v0/instances/bid_price/{id}": ("put",),
        "/api/v0/instances/command/{id}": ("put",),
        "/api/v0/instances/reboot/{id}": ("put",),
        "/api/v0/instances/recycle/{id}": ("put",),
        "/api/v0/instances/request_logs/{id}": ("put",),
        "/api/v0/instances/{id}": ("get", "put", "delete"),
        "/api/v0/instances/{id}/ssh": ("get", "post"),
        "/api/v0/instances/{id}/ssh/{ssh_key_id}": ("delete",),
        "/api/v0/ssh": ("get", "post"),
        "/api/v0/ssh/{id}": ("delete",),
        "/api/v0/users/current": ("get",),
        "/api/v1/instances": ("get",),
        "/api/v1/invoices": ("get",),
    },
)
ORACLE = Oracle(DESCRIPTION, under="/api/")
_SINGLE = "/api/v0/instances/{id}"
CALLS = {
    "create": ("/api/v0/asks/{id}", "put"),
    "search": ("/api/v0/bundles", "post"),
    "list": ("/api/v1/instances", "get"),
    "show": (_SINGLE, "get"),
    "destroy": (_SINGLE, "delete"),
    "attach": (f"{_SINGLE}/ssh", "post"),
    "user": ("/api/v0/users/current", "get"),
    "charges": ("/api/v0/charges", "get"),
    "logs": ("/api/v0/instances/request_logs/{id}", "put"),
}


def derive(document: dict[str, Any]) -> dict[str, Any]:
    """The facts that the client relies on."""
    return {
        name: {
            "body": sorted(body_schema(document, name).get("properties", {})),
            "required": sorted(body_schema(document, name).get("required", [])),
            "query": sorted(
                parameter["name"]
                for parameter in _call(document, name).get("parameters", [])
                if parameter["in"] == "query"
            ),
            "answer": sorted(answer(document, name).get("properties", {})),
            "row": sorted(_row(document, name)),
        }
        for name in CALLS
    }


def body_schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of what a call may send."""
    content = _call(document, name).get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def body_validator(document: dict[str, Any], name: str) -> Any:
    """A JSON Schema validator of what a call may send, the known differences left out."""
    schema = dict(body_schema(document, name))
    path, method = CALLS[name]
    left_out = sent("vast", f"{method.upper()} {path}")
    properties = schema.get("properties", {})
    schema["properties"] = {key: properties[key] for key in properties if key not in left_out}
    return _validator(document, schema)


def answer_validator(document: dict[str, Any], name: str) -> Any:
    """A JSON Schema validator of a good answer."""
    return _validator(document, answer(document, name))


def answer(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of a good answer; empty where none is described."""
    content = _call(document, name)["responses"].get("200", {}).get("content", {})
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def _call(document: dict[str, Any], name: str) -> dict[str, Any]:
    path, method = CALLS[name]
    call: dict[str, Any] = document["paths"][path][method]
    return call


def _row(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Fields of what a list holds."""
    for held in answer(document, name).get("properties", {}).values():
        row: dict[str, Any] = held.get("items", held).get("properties", {})
        if len(row) > 5:
            return row
    return {}


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({**schema, "components": document.get("components", {})})
