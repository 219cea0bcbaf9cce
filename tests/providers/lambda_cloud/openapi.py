"""What Lambda's published API description says of the calls that the client makes."""

from __future__ import annotations

from typing import Any

from tests.providers.oracle import Oracle
from tests.providers.published import Description

BASE = "/api/v1"
_CALLS = {
    "/instance-types": ("get",),
    "/images": ("get",),
    "/instances": ("get",),
    "/instances/{id}": ("get", "post"),
    "/instance-operations/launch": ("post",),
    "/instance-operations/terminate": ("post",),
    "/ssh-keys": ("get", "post"),
    "/ssh-keys/{id}": ("delete",),
}
# The simulator alone answers the last.
DESCRIPTION = Description(
    "lambda",
    "lambda.json",
    {BASE + path: methods for path, methods in {**_CALLS, "/regions": ("get",)}.items()},
)
ORACLE = Oracle(DESCRIPTION, under=f"{BASE}/")


def derive(document: dict[str, Any]) -> dict[str, Any]:
    """The facts that the client relies on."""
    return {
        "version": document["info"]["version"],
        "server": document["servers"][0]["url"],
        "launch": _fields(body_schema(document, "/instance-operations/launch")),
        "add_key": _fields(body_schema(document, "/ssh-keys")),
        "terminate": _fields(body_schema(document, "/instance-operations/terminate")),
        "statuses": document["components"]["schemas"]["InstanceStatus"]["enum"],
        "architectures": document["components"]["schemas"]["ImageArchitecture"]["enum"],
        "required": {
            name: sorted(document["components"]["schemas"][name]["required"])
            for name in ("Instance", "InstanceType", "InstanceTypesItem", "Image", "SSHKey")
        },
        "tag": document["components"]["schemas"]["RequestedTagEntry"]["properties"]["key"],
        "launch_refusals": sorted(_codes(document, "/instance-operations/launch")),
        "calls": {path: sorted(methods) for path, methods in _calls(document).items()},
    }


def body_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Of the JSON that is posted there."""
    asked = document["paths"][BASE + path]["post"]["requestBody"]
    schema: dict[str, Any] = asked["content"]["application/json"]["schema"]
    return schema


def answer_schema(document: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    """Of the JSON that is answered there. Raises: KeyError where that is not described."""
    told = document["paths"][BASE + path][method.lower()]["responses"][str(status)]
    schema: dict[str, Any] = told["content"]["application/json"]["schema"]
    return schema


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A JSON Schema validator for a schema of the description."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator({**schema, "components": document["components"]})


def _fields(schema: dict[str, Any]) -> dict[str, list[str]]:
    return {"known": sorted(schema["properties"]), "required": sorted(schema.get("required", []))}


def _codes(document: dict[str, Any], path: str) -> set[str]:
    found: set[str] = set()
    responses = document["paths"][BASE + path]["post"]["responses"]
    for status, response in responses.items():
        if status == "200":
            continue
        error = response["content"]["application/json"]["schema"]["properties"]["error"]
        for one in error.get("anyOf", [error]):
            schema = document["components"]["schemas"][one["$ref"].rsplit("/", 1)[-1]]
            code = schema["properties"]["code"]
            found.update(code.get("enum", [code.get("const")]))
    return found


def _calls(document: dict[str, Any]) -> dict[str, list[str]]:
    """The calls that the client makes, as far as they are described."""
    return {
        path: [method for method in document["paths"][BASE + path] if method in methods]
        for path, methods in _CALLS.items()
    }
