"""RunPod's JSON and words, to and from ours. Pure.

Facts are of RunPod's REST v2 as documented 2026-08-20 and seen until 2026-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.errors import (
    InsufficientFunds,
    InvalidRequest,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
)
from orchestrator.offers.gpus import canonical, card
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import in_regions
from orchestrator.providers.base import (
    Charge,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.providers.fields import (
    to_billed,
    to_dollars,
    to_gb,
    to_host,
    to_integer,
    to_object,
    to_port,
)
from orchestrator.providers.http import Answer, one_line, to_error
from orchestrator.spec.resources import Need

# Container disk, dollars per GB and month (docs, 2026-11); the month is taken short, so that the
# hour is never too cheap.
DISK_USD_PER_GB_HOUR = Decimal("0.10") / (28 * 24)

# Capacity has no code of its own, only prose (live texts, 2026-08 to 2026-11).
_CAPACITY = re.compile(
    r"no longer any instances|no instances (currently )?available|not have the resources"
    r"|try a different machine|not enough (free )?(gpus|disk)|insufficient resources",
    re.IGNORECASE,
)
# What keeps a pod from ever starting, and no field shows (facts of 2026-08 to 2026-11).
_TROUBLE = re.compile(
    r"toomanyrequests|manifest unknown|manifest for \S+ not found|pull access denied"
    r"|no space left on device|OCI runtime create failed|nvidia-container-cli:",
    re.IGNORECASE,
)
_FUNDS = re.compile(r"balance|credit|funds", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# TERMINATED is absent: such a pod bills nothing and is on its way off the list.
_STATUS = {
    "PROVISIONING": MachineStatus.BOOTING,
    "STARTING": MachineStatus.BOOTING,
    "RUNNING": MachineStatus.RUNNING,
    "EXITED": MachineStatus.STOPPED,
    "ERROR": MachineStatus.FAILED,
}

_STOCKS = ("none", "low", "medium", "high")

# RunPod owns the hardware of SECURE; COMMUNITY is hosts of others that RunPod lets in.
TRUST = {"SECURE": "secure", "COMMUNITY": "verified"}


def is_id(text: str) -> bool:
    """Whether `text` can be a pod's id."""
    return _ID.fullmatch(text) is not None


def to_offers(data: Any, cloud: str, need: Need) -> list[Offer]:
    """The catalog of one cloud; prices include the container disk that the need asks for."""
    return [
        offer for gpu in _rows(data, "gpus") if (offer := _to_offer(gpu, cloud, need)) is not None
    ]


def _to_offer(gpu: dict[str, Any], cloud: str, need: Need) -> Offer | None:
    tier = cloud.lower()
    gpu_id = str(gpu.get("id", ""))
    most = to_integer(to_object(gpu.get("maxCount")).get(tier))
    usd_per_gpu_hour = to_dollars(to_object(gpu.get("price")).get(tier))
    # The id "unknown" appears in catalogs (seen 2026-08); a price of 0 means not offered.
    offered = gpu.get(tier) is True and most >= 1 and usd_per_gpu_hour > 0
    if not offered or gpu_id in ("", "unknown"):
        return None
    count = min(max(1, need.gpu_count), most)
    known = card(gpu_id)
    centers = _words(gpu.get("dataCenters"), "id")
    allowed = [name for name in centers if in_regions(name, need.regions_allow, need.regions_deny)]
    restricted = bool(need.regions_allow or need.regions_deny)
    versions = _words(gpu.get("cudaVersions"), "version")
    details = {"gpu_id": gpu_id, "cloud": cloud}
    if restricted and allowed:
        details["data_centers"] = ",".join(allowed)
    elif centers:
        details["anywhere"] = ",".join(centers)
    if gpu.get("manufacturer", "NVIDIA") == "NVIDIA" and need.cuda:
        details["least_cuda"] = need.cuda
    return Offer(
        id=f"{gpu_id} x{count} {cloud}",
        provider="runpod",
        gpu=canonical(gpu_id),
        gpu_count=count,
        gpu_memory_gib=known.memory_gib if known else float(to_integer(gpu.get("memory"))),
        price=Price(usd_per_gpu_hour * count + disk_usd_per_hour(need.disk_gib)),
        region=",".join(allowed or centers) if restricted else "",
        trust=TRUST[cloud],
        stock=_stock(gpu, allowed) if count == need.gpu_count else "",
        cuda=max(versions, key=_version, default=""),
        architecture=known.architecture if known else "x86_64",
        details=details,
    )


def _stock(gpu: dict[str, Any], allowed: list[str]) -> str:
    """The most that is said of a card: NONE above a center that says LOW was seen (2026-08)."""
    centers = gpu.get("dataCenters")
    rows = [to_object(one) for one in (centers if isinstance(centers, list) else [])]
    rows = [gpu, *(row for row in rows if row.get("id") in allowed)]
    words = [str(row.get("availability", "")).lower() for row in rows]
    known = [word for word in words if word in _STOCKS]
    return max(known, key=_STOCKS.index, default="")


def disk_usd_per_hour(disk_gib: int) -> Decimal:
    """What the container disk adds to the hourly rate."""
    return (to_gb(disk_gib) * DISK_USD_PER_GB_HOUR).quantize(Decimal("0.000001"))


def to_create_body(request: MachineRequest) -> dict[str, Any]:
    """The body of POST /pods. Every field that has a default is sent all the same.

    Without `gpu.count`, documented to default to 1, no machine matched (live, 2026-08-04).
    """
    details = request.offer.details
    gpu: dict[str, Any] = {"id": details["gpu_id"], "count": request.offer.gpu_count}
    if "least_cuda" in details:
        gpu["minCudaVersion"] = details["least_cuda"]
    body: dict[str, Any] = {
        "name": request.label,
        "image": request.image,
        "gpu": gpu,
        "cloud": details["cloud"],
        "disk": to_gb(request.disk_gib),
        "ports": [f"{port}/tcp" for port in request.ports],
        "startSsh": True,
        "env": {**request.environment, "PUBLIC_KEY": request.public_key},
    }
    wanted = _split(details.get("data_centers", ""))
    known = wanted or _split(details.get("anywhere", ""))
    others = [one for one in known if one not in request.avoid]
    if others and others != known:
        wanted = others
    if wanted:
        body["dataCenterIds"] = wanted
    if request.start_command:
        body["args"] = json.dumps({"entrypoint": ["/bin/sh", "-c"], "cmd": [request.start_command]})
    return body


def to_create_error(answer: Answer) -> ProviderError:
    """What a refused create means; only an explicit 4xx proves that nothing was rented."""
    detail = answer.detail()
    status = answer.status
    problem = f"RunPod refused to rent (HTTP {status}): {detail}"
    if status == 402 or (status in (400, 403) and _FUNDS.search(detail)):
        return InsufficientFunds(problem, hint="add credit to the RunPod account")
    if status == 400 and _CAPACITY.search(detail):
        return NoCapacity(problem)
    if status == 403:
        return OfferRefused(problem, hint="if every offer says so, the key may not rent")
    if status in (401, 410, 429):
        return to_error("runpod", answer)
    if 400 <= status < 500 and status != 408:
        return InvalidRequest(problem)
    return OutcomeUnknown(f"RunPod answered HTTP {status} to a create; a machine may exist")


def to_machine(pod: Any, ssh_user: str) -> Machine | None:
    """One pod; None when it is terminated.

    Raises: ProviderDown when it is not a pod at all.
    """
    row = to_object(pod)
    machine_id = row.get("id")
    if not isinstance(machine_id, str) or not _ID.fullmatch(machine_id):
        raise ProviderDown("RunPod sent a pod without a usable id")
    word = str(row.get("status", ""))
    if word == "TERMINATED":
        return None
    # A status that is not known yet may bill, and is not ready.
    status = _STATUS.get(word, MachineStatus.BOOTING)
    gpu = to_object(row.get("gpu"))
    return Machine(
        id=machine_id,
        label=str(row.get("name") or "") or None,
        status=status,
        gpu=canonical(str(gpu.get("id") or "")),
        gpu_count=to_integer(gpu.get("count")),
        usd_per_hour=to_dollars(row.get("cost")),
        created_at_s=_epoch_s(row.get("createdAt")),
        # A stopped pod can show the address of its last life.
        address=_address(row, ssh_user) if status is MachineStatus.RUNNING else None,
        region=str(row.get("dataCenterId") or ""),
    )


def to_page(data: Any, key: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of one page and the cursor of the next, '' after the last.

    Raises: ProviderDown when the answer is not such a page: a half list proves nothing.
    """
    rows = _rows(data, key)
    pagination = to_object(data.get("pagination"))
    cursor = pagination.get("nextCursor")
    if not pagination.get("hasNextPage"):
        return rows, ""
    if not isinstance(cursor, str) or not cursor:
        raise ProviderDown(f"RunPod promises a further page of {key} and does not say which")
    return rows, cursor


def to_charge(record: Any) -> Charge:
    """One billing record: a pod in a bucket of time."""
    row = to_object(record)
    return Charge(
        machine_id=str(row.get("podId") or ""),
        start_s=_epoch_s(row.get("startTime")),
        end_s=_epoch_s(row.get("endTime")),
        usd=to_billed(row.get("totalAmount")),
    )


def to_account(data: Any) -> tuple[str, Decimal | None]:
    """User id ('' when not told) and balance of a GraphQL `myself`."""
    myself = to_object(to_object(to_object(data).get("data")).get("myself"))
    user = str(myself.get("id") or "")
    balance = myself.get("clientBalance")
    known = isinstance(balance, int | Decimal) and not isinstance(balance, bool)
    return (user if _ID.fullmatch(user) else "", to_dollars(balance) if known else None)


def to_log_text(events: bytes) -> str:
    """Text of server-sent log events, in order; what is no event, or a cut one, is left out."""
    lines = []
    for event in re.split(r"\r?\n\r?\n", events.decode("utf-8", "replace")):
        data = "\n".join(
            line[5:].removeprefix(" ") for line in event.splitlines() if line.startswith("data:")
        )
        try:
            line = to_object(json.loads(data)).get("line")
        except ValueError:
            continue
        if isinstance(line, str):
            lines.append(line)
    return "\n".join(lines)


def to_trouble(system_log: str) -> str:
    """Why a pod will not start: what its host has met twice, for it tries again for ever.

    >>> to_trouble("error: toomanyrequests\\nerror: toomanyrequests: slow down")
    'error: toomanyrequests: slow down'
    """
    met = [line for line in system_log.splitlines() if _TROUBLE.search(line)]
    return one_line(met[-1]) if len(met) > 1 else ""


def timestamp(epoch_s: float) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _address(pod: dict[str, Any], ssh_user: str) -> SshAddress | None:
    direct = to_object(to_object(pod.get("ssh")).get("direct"))
    host, port = to_host(direct.get("host")), to_port(direct.get("port"))
    return SshAddress(host, port, ssh_user) if host and port else None


def _rows(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProviderDown(f"RunPod answered without the list of {key}")
    return rows


def _split(text: str) -> list[str]:
    return text.split(",") if text else []


def _words(rows: Any, key: str) -> list[str]:
    """The text under `key` of each row that has one."""
    found = [to_object(row).get(key) for row in (rows if isinstance(rows, list) else [])]
    return [word for word in found if isinstance(word, str) and word]


def _epoch_s(value: Any) -> float:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return 0.0
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _version(text: str) -> tuple[int, ...]:
    numbers: Iterable[str] = re.findall(r"\d+", text)
    return tuple(int(number) for number in numbers)
