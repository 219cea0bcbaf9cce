"""Machines and their events on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.simcloud.paperspace.machines import Event, Machines, facts_of
from infra.simcloud.paperspace.switches import Switches
from infra.simcloud.paperspace.types import REGIONS, disk_usd_per_month
from infra.simcloud.rented import Phase, Rented
from infra.simcloud.web import Json


def machine_json(machine: Rented, machines: Machines, switches: Switches) -> dict[str, Json]:
    """One machine; a deleted one has a date."""
    facts = facts_of(machine)
    asked, size_gb = facts.asked, facts.asked.number("diskSize")
    shows_ip = machines.shows_ip(machine)
    private_ip = f"10.40.{facts.number // 250 % 250}.{1 + facts.number % 250}"
    region = REGIONS[facts.region] if switches.region_as == "label" else facts.region
    row: dict[str, Json] = {
        "id": machine.id,
        "name": facts.name,
        "state": machines.state(machine) or "off",
        "os": "Ubuntu 22.04.3 LTS",
        "machineType": facts.kind.name,
        "agentType": "LinuxHeadless",
        "cpus": facts.kind.cpus,
        "ram": facts.kind.ram_gib * 2**30,
        "storageTotal": int(size_gb * 2**30),
        "storageUsed": 10 * 2**30,
        "region": region,
        "privateIp": private_ip if shows_ip else None,
        "networkId": None,
        "publicIp": facts.ip if shows_ip else None,
        "publicIpType": "static" if facts.has_static_ip else asked.text("publicIpType", "dynamic"),
        "autoShutdownEnabled": asked.flag("autoShutdownEnabled"),
        "autoShutdownTimeout": asked.fields.get("autoShutdownTimeout"),
        "autoShutdownForce": asked.fields.get("autoShutdownForce"),
        "autoSnapshotEnabled": asked.flag("autoSnapshotEnabled"),
        "autoSnapshotFrequency": asked.fields.get("autoSnapshotFrequency"),
        "autoSnapshotSaveCount": asked.fields.get("autoSnapshotSaveCount"),
        "updatesPending": False,
        "restorePointEnabled": asked.flag("restorePointEnabled"),
        "restorePointFrequency": asked.fields.get("restorePointFrequency"),
        "restorePointSnapshotId": None,
        "usageRate": float(machine.usd_per_hour - machine.disk_usd_per_hour),
        "storageRate": float(disk_usd_per_month(size_gb)),
        "dtCreated": iso(machine.created_s),
        "dtModified": iso(machine.changed_s),
        "dtDeleted": None if machine.ended_s is None else iso(machine.ended_s),
        "reservation": None,
    }
    if facts.kind.gpus:
        gpus = 0 if machine.without_gpus else facts.kind.gpus
        memory = facts.kind.card.memory_gb * 2**30
        row["accelerators"] = [{"name": facts.kind.card.name, "memory": memory, "count": gpus}]
    if machines.state(machine):  # it is still there
        row["dtDeleted"] = None
    return row


def event_json(event: Event, machine: Rented, now_s: float) -> dict[str, Json]:
    """One event as it stands now."""
    done_s = event.done_s
    if event.name in ("create", "start") and machine.started_s is not None and not event.error:
        done_s = min(done_s, max(machine.started_s, event.at_s))
    is_done = now_s >= done_s
    is_begun = is_done or machine.phase is not Phase.PLACED
    state = "new" if not is_begun else "in progress"
    return {
        "id": event.id,
        "name": event.name,
        "state": ("error" if event.error else "done") if is_done else state,
        "machineId": machine.id,
        "dtCreated": iso(event.at_s),
        "dtStarted": iso(event.at_s) if is_begun else None,
        "dtFinished": iso(done_s) if is_done else None,
        "error": (event.error or None) if is_done else None,
    }


def session_json(name: str, team_id: str, most_machines: int) -> dict[str, Json]:
    """Who is logged in, and the team that the key belongs to."""
    made = "2024-01-01T00:00:00.000Z"
    team: dict[str, Json] = {
        "name": name,
        "id": team_id,
        "namespace": f"{name}-team",
        "isUserTeam": True,
        "dtCreated": made,
    }
    user: dict[str, Json] = {
        "firstName": None,
        "lastName": None,
        "email": f"{name}@example.com",
        "dtCreated": made,
        "dtConfirmed": made,
        "teamMemberships": [{"team": team, "isOwner": True, "isAdmin": True}],
        "isPhoneVerified": True,
        "isPasswordAuthEnabled": True,
        "isQrCodeBasedMfaEnabled": False,
        "isQrCodeBasedMfaConfirmed": False,
        "id": f"us{team_id}",
        "analyticsId": 1,
        "metadata": {},
    }
    own: dict[str, Json] = {
        "namespace": f"{name}-team",
        "isPrivate": False,
        "maxMachines": most_machines,
        "id": team_id,
        "analyticsId": 2,
    }
    return {"user": user, "team": own}


def iso(epoch_s: float) -> str:
    """A moment as the API writes it."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
