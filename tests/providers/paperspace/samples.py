"""Paperspace's JSON as its documents show it, for tests to vary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import MachineRequest

KEY = "example-key"
ID = "psw1x2y3z"
LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRlc3Q run"
HOST_PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg\n-----END OPENSSH PRIVATE KEY-----\n"
HOST_PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q host"
CREATED = "2026-11-28T12:00:00.000Z"
CREATED_S = 1795867200.0


def offer(**details: str) -> Offer:
    facts = {
        "type": "A4000",
        "region": "East Coast (NY2)",
        "template": "tml22box",
        "disk_gb": "100",
    }
    return Offer(
        id="A4000 ny2",
        provider="paperspace",
        gpu="RTX A4000",
        gpu_count=1,
        gpu_memory_gib=16,
        price=Price(Decimal("0.770417"), disk_usd_per_hour=Decimal("0.010417")),
        region="ny2",
        trust="secure",
        details={**facts, **details},
    )


def request(label: str = LABEL, **details: str) -> MachineRequest:
    return MachineRequest(
        label=label,
        offer=offer(**details),
        image="",
        disk_gib=56,
        public_key=PUBLIC_KEY,
        start_command="",
        host_private_key=HOST_PRIVATE,
        host_public_key=HOST_PUBLIC,
    )


def session(team: str = "te1a2b3c") -> dict[str, Any]:
    user_team = {
        "name": "team",
        "id": team,
        "namespace": "team",
        "isUserTeam": True,
        "dtCreated": CREATED,
    }
    user: dict[str, Any] = {
        "firstName": None,
        "lastName": None,
        "email": "a@example.com",
        "dtCreated": CREATED,
        "dtConfirmed": None,
        "teamMemberships": [{"team": user_team, "isOwner": True, "isAdmin": True}],
        "isPhoneVerified": True,
        "isPasswordAuthEnabled": True,
        "isQrCodeBasedMfaEnabled": False,
        "isQrCodeBasedMfaConfirmed": False,
        "id": "u1",
        "analyticsId": 1,
        "metadata": {},
    }
    own = {
        "namespace": "team",
        "isPrivate": False,
        "maxMachines": 10,
        "id": team,
        "analyticsId": 2,
    }
    return {"user": user, "team": own}


def template(*types: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "tml22box",
        "name": "ML-in-a-Box Ubuntu 22.04",
        "agentType": "LinuxHeadless",
        "operatingSystemLabel": "Ubuntu 22.04",
        "defaultSizeGb": 50,
        "availableMachineTypes": [
            {"machineTypeLabel": name, "isAvailable": True} for name in types or ("A4000",)
        ],
        "dtCreated": CREATED,
        **changes,
    }


def machine(**changes: Any) -> dict[str, Any]:
    """One machine that is ready."""
    return {
        "id": ID,
        "name": LABEL,
        "state": "ready",
        "os": "Ubuntu 22.04",
        "machineType": "A4000",
        "agentType": "LinuxHeadless",
        "cpus": 8,
        "ram": 45 * 2**30,
        "storageTotal": 100 * 2**30,
        "storageUsed": 10 * 2**30,
        "accelerators": [{"name": "A4000", "memory": 16 * 2**30, "count": 1}],
        "region": "ny2",
        "privateIp": "10.0.0.2",
        "networkId": None,
        "publicIp": "198.51.100.2",
        "publicIpType": "dynamic",
        "autoShutdownEnabled": True,
        "autoShutdownTimeout": 3,
        "autoShutdownForce": True,
        "autoSnapshotEnabled": False,
        "autoSnapshotFrequency": None,
        "autoSnapshotSaveCount": None,
        "updatesPending": False,
        "restorePointEnabled": False,
        "restorePointFrequency": None,
        "restorePointSnapshotId": None,
        "usageRate": 0.76,
        "storageRate": 7,
        "dtCreated": CREATED,
        "dtModified": CREATED,
        "dtDeleted": None,
        "reservation": None,
        **changes,
    }


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ev1",
        "name": "create",
        "state": "new",
        "machineId": ID,
        "dtCreated": CREATED,
        "dtStarted": None,
        "dtFinished": None,
        "error": None,
        **changes,
    }


def script(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ss1",
        "name": LABEL,
        "description": None,
        "isEnabled": True,
        "isRunOnce": True,
        "assignedMachineIds": [ID],
        "dtCreated": CREATED,
        "dtDeleted": None,
        **changes,
    }


def public_ip(**changes: Any) -> dict[str, Any]:
    row = {"ip": "198.51.100.7", "region": "ny2", "dtCreated": CREATED, "assignedMachineId": ID}
    return {name: value for name, value in (row | changes).items() if value is not None}


def snapshot(**changes: Any) -> dict[str, Any]:
    return {"id": "sn1", "name": "a snapshot", "machineId": ID, "isAutoSnapshot": False, **changes}


def items(*rows: Any, after: str = "") -> dict[str, Any]:
    """One page."""
    page: dict[str, Any] = {"items": [*rows], "hasMore": bool(after)}
    return page | ({"nextPage": after} if after else {})
