"""Reading requests as strictly as RunPod: closed bodies, every mistake at once."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from infra.simcloud.runpod.problems import NO_CAPACITY, Problem, invalid
from infra.simcloud.web import Json

LARGEST_BODY_BYTES = 102_400
MOST_ENVIRONMENT = 50
MOST_HTTP_PORTS = 10
DEFAULT_COMMAND = ("/start.sh",)

_VERSION = re.compile(r"\d+\.\d+")
_PORT = re.compile(r"(\d{1,5})/(tcp|http)")

# Field: (JSON type, required). The body of POST /v2/pods, documented 2026-08-20.
_FIELDS: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "image": (str, True),
    "args": (str, False),
    "disk": (int, False),
    "env": (dict, False),
    "ports": (list, False),
    "registry": (str, False),
    "cloud": (str, False),
    "cpu": (dict, False),
    "gpu": (dict, False),
    "dataCenterIds": (list, False),
    "globalNetworking": (bool, False),
    "mounts": (dict, False),
    "startJupyter": (bool, False),
    "startSsh": (bool, False),
    "templateId": (str, False),
}
_GPU_FIELDS: dict[str, tuple[type, bool]] = {
    "id": (str, True),
    "count": (int, False),
    "minCudaVersion": (str, False),
    "allowedCudaVersions": (list, False),
}
# Seen in the documentation's repository after that (docs-later).
_LATER_FIELDS: dict[str, tuple[type, bool]] = {"cmd": (list, False), "entrypoint": (list, False)}
_LATER_GPU_FIELDS: dict[str, tuple[type, bool]] = {
    "minRamPerGpu": (int, False),
    "minVcpuCountPerGpu": (int, False),
}
_JSON_NAMES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class CreatePod:
    """A create that RunPod would try to place."""

    name: str
    image: str
    gpu_id: str
    gpu_count: int
    cloud: str
    data_centers: tuple[str, ...]
    allowed_cuda: tuple[str, ...]
    least_cuda: str
    disk_gb: int
    volume_gb: int
    args: str
    argv: tuple[str, ...]
    env: dict[str, str]
    ports: tuple[str, ...]
    mounts: dict[str, Json]
    start_ssh: bool


def read_object(body: bytes) -> dict[str, Json]:
    """The JSON object of a request. Raises: Problem."""
    if len(body) > LARGEST_BODY_BYTES:
        raise Problem(413, f"request body exceeds {LARGEST_BODY_BYTES} bytes")
    try:
        data = json.loads(body)
    except ValueError:
        raise Problem(400, "request body is not valid JSON") from None
    if not isinstance(data, dict):
        raise invalid("$: must be object")
    return data


def read_action(body: bytes) -> str:
    """What POST /v2/pods/{id}/action asks for. Raises: Problem."""
    data = read_object(body)
    _check(data, {"action": (str, True)}, "$")
    action = str(data["action"])
    if action not in ("start", "stop", "restart", "terminate"):
        raise invalid("$.action: must be one of start, stop, restart, terminate")
    return action


def read_create(body: bytes, *, later_fields: bool = True) -> CreatePod:
    """A create that keeps every rule that needs no look at the stock. Raises: Problem."""
    data = read_object(body)
    fields = _FIELDS | (_LATER_FIELDS if later_fields else {})
    if "templateId" in data:
        fields = fields | {"image": (str, False)}
    _check(data, fields, "$")
    _check_values(data)
    if data.get("templateId") is not None:
        raise Problem(404, "template not found")
    if data.get("registry") is not None:
        raise Problem(404, "registry not found")
    gpu = data.get("gpu")
    if (gpu is None) == (data.get("cpu") is None):
        raise Problem(400, "exactly one of gpu or cpu must be set")
    if not isinstance(gpu, dict):
        raise Problem(400, NO_CAPACITY)  # there are no CPU pods here
    _check(gpu, _GPU_FIELDS | (_LATER_GPU_FIELDS if later_fields else {}), "$.gpu")
    mounts, volume_gb = _read_mounts(data.get("mounts"))
    least, allowed = str(gpu.get("minCudaVersion") or ""), _texts(gpu.get("allowedCudaVersions"))
    for version in (*allowed, *([least] if least else [])):
        if not _VERSION.fullmatch(version):
            raise invalid("$.gpu: CUDA versions are major.minor")
    if least and allowed:
        raise Problem(400, "minCudaVersion and allowedCudaVersions are mutually exclusive")
    if "count" not in gpu:
        raise Problem(400, NO_CAPACITY)  # documented default 1; matched nothing (live, 2026-08-04)
    env = data.get("env")
    return CreatePod(
        name=str(data["name"]),
        image=str(data.get("image", "")),
        gpu_id=str(gpu["id"]),
        gpu_count=_integer(gpu["count"], "$.gpu.count"),
        cloud=str(data.get("cloud", "SECURE")),
        data_centers=_texts(data.get("dataCenterIds")),
        allowed_cuda=allowed,
        least_cuda=least,
        disk_gb=_integer(data.get("disk", 20), "$.disk"),
        volume_gb=volume_gb,
        args=str(data.get("args", "")),
        argv=to_argv(data),
        env={str(name): str(value) for name, value in env.items()} if isinstance(env, dict) else {},
        ports=_texts(data.get("ports")),
        mounts=mounts,
        start_ssh=data.get("startSsh") is True,
    )


def to_argv(data: Mapping[str, Json]) -> tuple[str, ...]:
    """The container's command, as RunPod makes it of `args` or `cmd` and `entrypoint`.

    >>> to_argv({"args": "bash -c 'sleep 1'"})
    ('bash', '-c', 'sleep 1')
    >>> to_argv({"args": '{"entrypoint": ["sh", "-c"], "cmd": ["date"]}'})
    ('sh', '-c', 'date')
    """
    text = str(data.get("args") or "").strip()
    described: Mapping[str, Json] = data
    if text.startswith("{"):
        try:
            described = json.loads(text)
        except ValueError:
            raise Problem(400, "args is not valid JSON") from None
    elif text:
        try:
            return tuple(shlex.split(text))
        except ValueError:
            raise Problem(400, "args cannot be split into words") from None
    entrypoint, command = _texts(described.get("entrypoint")), _texts(described.get("cmd"))
    return (entrypoint + command) or DEFAULT_COMMAND


def _check_values(data: Mapping[str, Json]) -> None:
    problems = []
    if not data["name"]:
        problems.append("$.name: minLength: got 0, want 1")
    if data.get("cloud", "SECURE") not in ("SECURE", "COMMUNITY"):
        problems.append("$.cloud: value must be one of 'SECURE', 'COMMUNITY'")
    env = data.get("env")
    if isinstance(env, dict) and not all(isinstance(value, str) for value in env.values()):
        problems.append("$.env: values must be string")
    for name in ("ports", "dataCenterIds", "cmd", "entrypoint"):
        values = data.get(name)
        if isinstance(values, list) and not all(isinstance(value, str) for value in values):
            problems.append(f"$.{name}: items must be string")
    if problems:
        raise invalid(*problems)
    if isinstance(env, dict) and len(env) > MOST_ENVIRONMENT:
        raise Problem(400, f"at most {MOST_ENVIRONMENT} environment variables are allowed")
    ports = [_PORT.fullmatch(port) for port in _texts(data.get("ports"))]
    if not all(ports):
        raise Problem(400, "ports must look like 22/tcp or 8000/http")
    if sum(port is not None and port[2] == "http" for port in ports) > MOST_HTTP_PORTS:
        raise Problem(400, f"at most {MOST_HTTP_PORTS} http ports are allowed")


def _read_mounts(mounts: Json) -> tuple[dict[str, Json], int]:
    """What a pod shows of its mounts, and the size of its own volume."""
    if not isinstance(mounts, dict) or not mounts:
        return {}, 0
    _check(mounts, {"persistent": (dict, False), "network": (list, False)}, "$.mounts")
    if len(mounts) > 1:
        raise Problem(400, "mounts.persistent and mounts.network are mutually exclusive")
    persistent = mounts.get("persistent")
    if not isinstance(persistent, dict):
        raise Problem(404, "network volume not found")
    _check(persistent, {"size": (int, True), "path": (str, True)}, "$.mounts.persistent")
    size_gb = _integer(persistent["size"], "$.mounts.persistent.size", least=10)
    return {"persistent": persistent}, size_gb


def _check(data: Mapping[str, Json], fields: Mapping[str, tuple[type, bool]], at: str) -> None:
    """Raises: Problem with every unknown, missing and mistyped field."""
    problems = [
        f"{at}: missing property '{name}'"
        for name, (_, required) in fields.items()
        if required and name not in data
    ]
    unknown = [name for name in data if name not in fields]
    problems += [f"{at}: additional properties '{name}' not allowed" for name in unknown]
    for name, value in data.items():
        kind = fields.get(name, (object, False))[0]
        nullable = name == "registry" and value is None
        # To Python a boolean is a number.
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if name in fields and not right and not nullable:
            problems.append(f"{at}.{name}: must be {_JSON_NAMES[kind]}")
    if problems:
        raise invalid(*problems)


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _integer(value: Json, at: str, least: int = 1) -> int:
    if not isinstance(value, int) or value < least:
        raise invalid(f"{at}: minimum: got {value}, want {least}")
    return value
