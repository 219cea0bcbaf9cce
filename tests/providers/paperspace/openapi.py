"""What Paperspace's published API description says of the calls that the client makes."""

from __future__ import annotations

from typing import Any

from tests.providers.oracle import Oracle
from tests.providers.published import Description

_CALLS = {
    "/auth/session": ("get",),
    "/os-templates": ("get",),
    "/machine-availability": ("get",),
    "/machines": ("get", "post"),
    "/machines/{id}": ("get", "delete"),
    "/machines/{id}/stop": ("patch",),
    "/machine-events": ("get",),
    "/startup-scripts": ("get", "post"),
    "/startup-scripts/{id}": ("delete",),
    "/public-ips": ("get",),
    "/public-ips/{ip}": ("put", "delete"),
    "/snapshots": ("get",),
    "/snapshots/{id}": ("delete",),
}
_SIMULATED = {
    "/machine-events/{id}": ("get",),
    "/machines/{id}": ("get", "put", "delete"),
    "/machines/{id}/start": ("patch",),
    "/private-networks": ("get",),
    "/shared-drives": ("get",),
    "/startup-scripts/{id}": ("get", "delete"),
}
DESCRIPTION = Description("paperspace", "paperspace.json", {**_CALLS, **_SIMULATED})


def derive(document: dict[str, Any]) -> dict[str, Any]:
    """The facts that the client relies on."""
    machine = answer_schema(document, "get", "/machines/{id}", 200)
    event = answer_schema(document, "get", "/machine-events", 200)["properties"]["items"]["items"]
    create = body_schema(document, "post", "/machines")
    return {
        "version": document["info"]["version"],
        "server": document["servers"][0]["url"],
        "calls": {
            path: [method for method in methods if method in document["paths"][path]]
            for path, methods in _CALLS.items()
        },
        "queries": {
            path: sorted(one["name"] for one in document["paths"][path]["get"]["parameters"])
            for path, methods in _CALLS.items()
            if "parameters" in document["paths"][path].get("get", {}) and "get" in methods
        },
        "create": _fields(create),
        "create_is_strict": create["additionalProperties"] is False,
        "script": _fields(body_schema(document, "post", "/startup-scripts")),
        "ip": _fields(body_schema(document, "put", "/public-ips/{ip}")),
        "states": machine["properties"]["state"]["enum"],
        "machine": sorted(machine["required"]),
        "event_states": event["properties"]["state"]["enum"],
        "page": sorted(answer_schema(document, "get", "/machines", 200)["required"]),
        "stop_has_body": "requestBody" in document["paths"]["/machines/{id}/stop"]["patch"],
        "error": sorted(
            document["components"]["responses"]["error"]["content"]["application/json"]["schema"][
                "required"
            ]
        ),
    }


def body_schema(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Of the JSON that is sent there."""
    asked = document["paths"][path][method]["requestBody"]
    schema: dict[str, Any] = asked["content"]["application/json"]["schema"]
    return schema


def answer_schema(document: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    """Of the JSON that is answered there; every error has one schema.

    Raises: KeyError where that is not described.
    """
    responses = document["paths"][path][method.lower()]["responses"]
    told = responses["200"] if status == 200 else document["components"]["responses"]["error"]
    schema: dict[str, Any] = told["content"]["application/json"]["schema"]
    return schema


def validator(schema: dict[str, Any]) -> Any:
    """A JSON Schema validator for a schema of the description."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(as_json_schema(schema))


def described(path: str) -> str:
    """A path as the description writes it.

    >>> described("/machines/psw1x2y3z/stop"), described("/public-ips/198.51.100.7")
    ('/machines/{id}/stop', '/public-ips/{ip}')
    """
    what, *rest = path.strip("/").split("/")
    if rest and what != "auth":
        rest[0] = "{ip}" if what == "public-ips" else "{id}"
    return "/" + "/".join([what, *rest])


def _fields(schema: dict[str, Any]) -> dict[str, list[str]]:
    return {"known": sorted(schema["properties"]), "required": sorted(schema.get("required", []))}


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's own words for null and for open bounds, as JSON Schema has them."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {
        name: as_json_schema(value)
        for name, value in node.items()
        if name not in ("nullable", "exclusiveMinimum")
    }
    if node.get("exclusiveMinimum") is True:
        made["exclusiveMinimum"] = made.pop("minimum")
    return {"anyOf": [{"type": "null"}, made]} if node.get("nullable") is True else made


ORACLE = Oracle(DESCRIPTION, under="/v1/", base="/v1", to_schema=as_json_schema)
