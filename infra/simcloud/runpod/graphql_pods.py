"""Pods as GraphQL shows and rents them: other names, other types, the same machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from infra.simcloud.rented import Phase, Rented
from infra.simcloud.runpod.bodies import CreatePod, to_argv
from infra.simcloud.runpod.pods import pod_facts
from infra.simcloud.runpod.selection import Field
from infra.simcloud.runpod.shelves import COMMUNITY, SECURE
from infra.simcloud.stock import Stock
from infra.simcloud.web import Json

_DESIRED = {Phase.STOPPED: "EXITED", Phase.FAILED: "EXITED"}
_MOST_SPOT_SHARE = 0.5  # of the price on demand; nobody here rents at a bid

# What is worked out only when it is asked for, and for what.
Row = Mapping[str, "Json | Callable[[Field], Json]"]


def to_creates(wish: Mapping[str, Json]) -> list[CreatePod]:
    """The pods that would fulfil a `podFindAndDeployOnDemand`, the first to be tried first."""
    cloud = str(wish.get("cloudType") or "ALL")
    center = wish.get("dataCenterId")
    disk_gb, volume_gb = _number(wish, "containerDiskInGb", 20), _number(wish, "volumeInGb", 0)
    path: Json = str(wish.get("volumeMountPath") or "/workspace")
    args = str(wish.get("dockerArgs") or "")
    allowed = wish.get("allowedCudaVersions")
    volume: dict[str, Json] = {"persistent": {"size": volume_gb, "path": path}}
    return [
        CreatePod(
            name=str(wish.get("name") or "my pod"),
            image=str(wish.get("imageName") or ""),
            gpu_id=str(wish.get("gpuTypeId") or ""),
            gpu_count=_number(wish, "gpuCount", 1),
            cloud=tier,
            data_centers=(str(center),) if center else (),
            allowed_cuda=tuple(str(one) for one in allowed) if isinstance(allowed, list) else (),
            least_cuda=str(wish.get("minCudaVersion") or ""),
            disk_gb=disk_gb,
            volume_gb=volume_gb,
            args=args,
            argv=to_argv({"args": args}),
            env=_environment(wish.get("env")),
            ports=tuple(one for one in str(wish.get("ports") or "").split(",") if one),
            mounts=volume if volume_gb else {},
            start_ssh=wish.get("startSsh") is True,
        )
        for tier in ((SECURE, COMMUNITY) if cloud == "ALL" else (cloud,))
    ]


def pod_row(machine: Rented, pod: Mapping[str, Json]) -> Row:
    """Everything that may be asked of a pod; `pod`: as v2 shows it."""
    facts = pod_facts(machine)
    card = machine.stock.card
    runtime = pod["runtime"]
    return {
        "id": machine.id,
        "name": machine.label,
        "containerDiskInGb": facts.asked.disk_gb,
        "costPerHr": pod["cost"],
        "desiredStatus": desired_status(machine),
        "dockerArgs": facts.asked.args,
        "dockerId": None,
        "env": [f"{name}={value}" for name, value in facts.asked.env.items()],
        "gpuCount": 0 if machine.without_gpus else machine.gpu_count,
        "imageName": facts.asked.image,
        "lastStatusChange": last_status_change(machine),
        "machineId": f"host-{machine.id}",
        "machine": {"gpuDisplayName": card.name, "podHostId": facts.proxy_user},
        "memoryInGb": card.ram_gb * machine.gpu_count,
        "podType": "RESERVED",
        "port": None,
        "ports": ",".join(facts.asked.ports),
        "uptimeSeconds": runtime["uptime"] if isinstance(runtime, dict) else 0,
        "vcpuCount": card.vcpus * machine.gpu_count,
        "volumeInGb": facts.asked.volume_gb,
        "volumeMountPath": "/workspace",
        "runtime": _runtime(runtime, 0 if machine.without_gpus else machine.gpu_count),
    }


def desired_status(machine: Rented) -> str:
    """What is wanted of a pod: it runs from its first second, also where nothing is in it."""
    return _DESIRED.get(machine.phase, "RUNNING")


def last_status_change(machine: Rented) -> str:
    """Why it is as it is, and since when."""
    return f"{machine.last_change}: {_javascript_date(machine.changed_s)}"


def gpu_row(shelves: list[Stock]) -> Row:
    """One card of the catalog over both clouds."""
    card = shelves[0].card
    price = {stock.tier: float(stock.usd_per_gpu_hour) for stock in shelves}
    largest = {stock.tier: stock.largest for stock in shelves}
    unknown = dict.fromkeys(("cudaCores", "oneMonthPrice", "threeMonthPrice", "oneWeekPrice"))
    return {
        **unknown,
        "id": card.id,
        "displayName": card.name,
        "manufacturer": "Nvidia",
        "memoryInGb": card.memory_gb,
        "secureCloud": SECURE in price,
        "communityCloud": COMMUNITY in price,
        "securePrice": price.get(SECURE),
        "communityPrice": price.get(COMMUNITY),
        "secureSpotPrice": None,
        "communitySpotPrice": None,
        "maxGpuCount": max(largest.values()),
        "maxGpuCountSecureCloud": largest.get(SECURE, 0),
        "maxGpuCountCommunityCloud": largest.get(COMMUNITY, 0),
        "lowestPrice": lambda field: _lowest_price(shelves, field),
    }


def _lowest_price(shelves: list[Stock], field: Field) -> Json:
    wish = field.arguments.get("input")
    count = _number(wish, "gpuCount", 1) if isinstance(wish, dict) else 1
    left = [one for one in shelves if count <= min(one.free, one.largest)]
    cheapest = min(left, key=lambda stock: stock.usd_per_gpu_hour, default=None)
    if cheapest is None:
        names = ("minimumBidPrice", "uninterruptablePrice", "minVcpu", "minMemory", "stockStatus")
        return dict.fromkeys(names)
    usd = float(cheapest.usd_per_gpu_hour)
    return {
        "minimumBidPrice": round(usd * _MOST_SPOT_SHARE, 3),
        "uninterruptablePrice": usd,
        "minVcpu": cheapest.card.vcpus * count,
        "minMemory": cheapest.card.ram_gb * count,
        "stockStatus": "High" if cheapest.free >= 10 * count else "Low",
    }


def _runtime(runtime: Json, gpu_count: int) -> Json:
    if not isinstance(runtime, dict):
        return None
    ports: list[Json] = []
    shown = runtime["ports"]
    for port in shown if isinstance(shown, list) else []:
        assert isinstance(port, dict)
        ports.append(
            {
                "ip": port["ip"],
                "isIpPublic": True,
                "privatePort": port["private"],
                "publicPort": port["public"],
                "type": port["type"],
            }
        )
    idle: dict[str, Json] = {"gpuUtilPercent": 0, "memoryUtilPercent": 0}
    gpus: list[Json] = [{"id": f"GPU-{n}", **idle} for n in range(gpu_count)]
    return {
        "uptimeInSeconds": runtime["uptime"],
        "ports": ports,
        "gpus": gpus,
        "container": {"cpuPercent": 1, "memoryPercent": 1},
    }


def _environment(pairs: Json) -> dict[str, str]:
    if not isinstance(pairs, list):
        return {}
    return {str(one["key"]): str(one["value"]) for one in pairs if isinstance(one, dict)}


def _number(wish: Mapping[str, Json], name: str, default: int) -> int:
    value = wish.get(name)
    return value if isinstance(value, int) else default


def _javascript_date(at_s: float) -> str:
    """As `String(new Date())` gives it.

    >>> _javascript_date(1_795_428_000)
    'Mon Nov 23 2026 10:00:00 GMT+0000 (Coordinated Universal Time)'
    """
    moment = datetime.fromtimestamp(at_s, UTC)
    return moment.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)")
