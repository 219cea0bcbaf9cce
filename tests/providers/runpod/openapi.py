"""What RunPod's published API description says of the calls that the client makes."""

from __future__ import annotations

from typing import Any

from tests.providers.oracle import Oracle
from tests.providers.published import Description

DESCRIPTION = Description(
    "runpod",
    "runpod-v2.json",
    {
        "/v2/account/ssh-keys": ("get", "put"),
        "/v2/billing/pods": ("get",),
        "/v2/catalog/datacenters": ("get",),
        "/v2/catalog/gpus": ("get",),
        "/v2/catalog/gpus/{id}": ("get",),
        "/v2/pods": ("get", "post"),
        "/v2/pods/{id}": ("get", "delete"),
        "/v2/pods/{id}/action": ("post",),
        "/v2/pods/{id}/logs": ("get",),
    },
)
ORACLE = Oracle(DESCRIPTION, under="/v2/")


def derive(document: dict[str, Any]) -> dict[str, Any]:
    """The facts that the client relies on."""
    schemas = document["components"]["schemas"]
    calls = ("/v2/pods", "/v2/catalog/gpus", "/v2/billing/pods", "/v2/pods/{id}/logs")
    return {
        "create": _fields(schemas, "CreatePodRequest"),
        "create_gpu": _fields(schemas, "CreateGpuConfig"),
        "pod": _fields(schemas, "Pod"),
        "gpu_type": _fields(schemas, "GpuType"),
        "statuses": schemas["PodStatus"]["enum"],
        "clouds": schemas["Cloud"]["enum"],
        "availability": schemas["AvailabilityLevel"]["enum"],
        "query": {path: _query(document, path) for path in calls},
    }


def validator(schema: str) -> Any:
    """A JSON Schema validator for one schema of the description."""
    from jsonschema import Draft202012Validator

    root = {
        "$ref": f"#/components/schemas/{schema}",
        "components": DESCRIPTION.document["components"],
    }
    return Draft202012Validator(root)


def _fields(schemas: dict[str, Any], name: str) -> dict[str, list[str]]:
    known: set[str] = set()
    required: set[str] = set()
    waiting = [schemas[name]]
    while waiting:
        schema = waiting.pop()
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rsplit("/", 1)[-1]]
        waiting += schema.get("allOf", [])
        known |= set(schema.get("properties", {}))
        required |= set(schema.get("required", []))
    return {"known": sorted(known), "required": sorted(required)}


def _query(document: dict[str, Any], path: str) -> list[str]:
    shared = document["components"]["parameters"]
    listed = document["paths"][path]["get"]["parameters"]
    told = [shared[p["$ref"].rsplit("/", 1)[-1]] if "$ref" in p else p for p in listed]
    return sorted(parameter["name"] for parameter in told if parameter["in"] == "query")
