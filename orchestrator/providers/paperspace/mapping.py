"""Paperspace's machines, lists and leftovers, to and from ours. Pure.

Facts are of the published API of 2024-08, of pspace's types, and of what was seen until 2026-11.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orchestrator.errors import BadCredentials, ProviderDown
from orchestrator.providers.base import (
    Leftover,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.providers.fields import (
    to_host,
    to_integer,
    to_known_dollars,
    to_number,
    to_object,
)
from orchestrator.providers.paperspace.catalog import (
    KINDS,
    disk_usd_per_month,
    region_code,
    sold_gb,
)
from orchestrator.providers.paperspace.offers import to_usd_per_hour
from orchestrator.runs.label import parse_label

SCRIPT, PUBLIC_IP, SNAPSHOT = "startup script", "public IP", "snapshot"
STARTING_S = 60.0  # so long a new machine may be off before it is one that did not start
_SPARE_HOURS = 1  # between a label's deadline and the provider's own stop
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STATUS = {
    "provisioning": MachineStatus.BOOTING,
    "starting": MachineStatus.BOOTING,
    "restarting": MachineStatus.BOOTING,
    "upgrading": MachineStatus.BOOTING,
    "serviceready": MachineStatus.BOOTING,  # it is up, its agent is not yet
    "ready": MachineStatus.RUNNING,
    "stopping": MachineStatus.STOPPED,
    "off": MachineStatus.STOPPED,
}


def is_id(text: object) -> bool:
    """Whether `text` can be the id of something here."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def to_machine(row: Any, now_s: float, ssh_user: str, ssh_port: int = 22) -> Machine | None:
    """One machine; None when it is deleted.

    Raises: ProviderDown when it is not a machine at all.
    """
    machine = to_object(row)
    machine_id, name = machine.get("id"), machine.get("name")
    if not is_id(machine_id):
        raise ProviderDown("Paperspace sent a machine without a usable id")
    if machine.get("dtDeleted") is not None:
        return None
    label = name if isinstance(name, str) and name else None
    created_s = _created_s(label, machine)
    # A state that is not known yet may bill, and is not ready.
    status = _STATUS.get(str(machine.get("state")), MachineStatus.BOOTING)
    if machine.get("state") == "off" and now_s - created_s < STARTING_S:
        status = MachineStatus.BOOTING
    kind = KINDS.get(str(machine.get("machineType")))
    told_gpus = _gpus(machine.get("accelerators"))
    gpus = kind.gpus if kind and told_gpus is None else told_gpus or 0
    host = to_host(machine.get("publicIp"))
    return Machine(
        id=str(machine_id),
        label=label,
        status=status,
        gpu=kind.gpu if kind else str(machine.get("machineType") or ""),
        gpu_count=gpus,
        usd_per_hour=usd_per_hour(machine),
        created_at_s=created_s,
        # It may have one in its first answer already; only a login tells that it is up.
        address=SshAddress(host, ssh_port, ssh_user) if host else None,
        region=region_code(machine.get("region")),
        disk_gib=to_integer(machine.get("storageTotal")) / 2**30 or None,
    )


def usd_per_hour(machine: Mapping[str, Any]) -> Decimal:
    """Of machine and disk while it is on, which an `off` one may be again.

    In which unit rates are told is not documented: dollars an hour, and a month for the disk, as
    the price page has them. A rate far below the page's is in another unit, and not believed; one
    above it is told as it is, and no offer has such a price.
    """
    kind = KINDS.get(str(machine.get("machineType")))
    usage = to_known_dollars(machine.get("usageRate")) or Decimal(0)
    if kind is not None and usage * 3 < kind.usd_per_hour:
        usage = kind.usd_per_hour
    disk = to_known_dollars(machine.get("storageRate")) or Decimal(0)
    known = disk_usd_per_month(sold_gb(to_integer(machine.get("storageTotal")) // 10**9))
    return usage + to_usd_per_hour(disk if disk * 3 >= known else known)


def to_rows(data: Any, what: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of a list and the mark of its next page, "" after the last.

    Raises: ProviderDown when it is no such list: a half list proves nothing.
    """
    rows = data.get("items") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProviderDown(f"Paperspace answered without the list of {what}")
    more, mark = data.get("hasMore"), data.get("nextPage")
    if more is False:
        return rows, ""
    if more is not True or not isinstance(mark, str) or not mark:
        raise ProviderDown(f"Paperspace's list of {what} has a next page that it does not name")
    return rows, mark


def to_create_body(request: MachineRequest, script_id: str) -> dict[str, Any]:
    """The body of a create. Unknown fields are refused; what is left out may be switched on.

    The provider's own stop after so many hours may be of idle ones, and does not see SSH: it comes
    after the label's deadline, and bounds the machine's bill alone, not its disk's.
    """
    details = request.offer.details
    body: dict[str, Any] = {
        "name": request.label,
        "machineType": details["type"],
        "templateId": details["template"],
        "region": details["region"],
        "diskSize": int(details["disk_gb"]),
        "publicIpType": "dynamic",  # a static one outlives its machine, and bills
        "startOnCreate": True,
        "startupScriptId": script_id,
        "emailPassword": False,
        "takeInitialSnapshot": False,
        "autoSnapshotEnabled": False,
        "restorePointEnabled": False,
    }
    if label := parse_label(request.label):
        hours = math.ceil((label.deadline_s - label.created_s) / 3600) + _SPARE_HOURS
        body |= {
            "autoShutdownEnabled": True,
            "autoShutdownTimeout": hours,
            "autoShutdownForce": True,
        }
    if request.offer.gpu_count >= 8:
        body["enableNvlink"] = True
    return body


def to_team(data: Any) -> str:
    """The id of the team that a key belongs to.

    Raises: BadCredentials for `null`, which is what a bad key gets, with status 200.
    """
    if data is None:
        raise BadCredentials(
            "the key was refused: Paperspace knows no session for it",
            hint="gpulease login paperspace",
        )
    team = to_object(to_object(data).get("team")).get("id")
    return team if isinstance(team, str) and is_id(team) else ""


def why_barred(data: Any) -> str:
    """Why an account may rent nothing, by its standing; empty while it may."""
    standing = to_object(data)
    if standing.get("isAdminLocked") is True:
        return "the account is locked"
    if standing.get("hasPaymentMethod") is False:
        return "the account has no way to pay"
    return (
        "the account is not in good standing" if standing.get("isInGoodStanding") is False else ""
    )


def to_trouble(rows: Iterable[Mapping[str, Any]]) -> str:
    """What an event of a machine says that failed; empty while none does."""
    for row in rows:
        if row.get("state") == "error":
            return f"{row.get('name')}: {row.get('error') or 'it failed'}"
    return ""


def to_leftovers(
    scripts: Iterable[Mapping[str, Any]],
    ips: Iterable[Mapping[str, Any]],
    snapshots: Iterable[Mapping[str, Any]],
    living: frozenset[str],
) -> list[Leftover]:
    """What was made for machines of ours: addresses and snapshots first, their scripts last.

    An address or a snapshot has no name of ours. It names its machine, and so does the script,
    whose name is the machine's label; without the script nobody knows whose they are.

    Args:
        living: ids of machines that still exist, whose addresses are no leftovers.
    """
    labels: dict[str, str] = {}
    ours: list[Leftover] = []
    for script in scripts:
        name, script_id = script.get("name"), script.get("id")
        if not isinstance(name, str) or not parse_label(name) or script.get("dtDeleted"):
            continue
        if isinstance(script_id, str) and is_id(script_id):
            ours.append(Leftover(SCRIPT, script_id, name))
        assigned = script.get("assignedMachineIds")
        labels |= {str(one): name for one in (assigned if isinstance(assigned, list) else [])}
    found = [
        Leftover(kind, str(row.get(key)), labels[machine_id])
        for kind, key, owner, rows in (
            (PUBLIC_IP, "ip", "assignedMachineId", ips),
            (SNAPSHOT, "id", "machineId", snapshots),
        )
        for row in rows
        if (machine_id := str(row.get(owner))) in labels
        and machine_id not in living
        and to_host(row.get(key))  # an id has none but a host's letters, too
    ]
    return [*found, *ours]


def _gpus(accelerators: Any) -> int | None:
    """How many GPUs a machine shows; None where it does not tell."""
    if not isinstance(accelerators, list) or not accelerators:
        return None
    return sum(int(to_number(to_object(one).get("count")) or 0) for one in accelerators)


def _created_s(label: str | None, machine: Mapping[str, Any]) -> float:
    """When it was created, by its own word, else by its label's."""
    try:
        moment = datetime.fromisoformat(str(machine.get("dtCreated")))
    except ValueError:
        facts = parse_label(label)
        return float(facts.created_s) if facts else 0.0
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
