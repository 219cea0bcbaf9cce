"""Lambda's JSON as its documents show it, for tests to vary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import MachineRequest

KEY = "secret_example_key"
ID = "0920582c7ff041399e34823a0be62549"
LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRlc3Q run"
HOST_PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg\n-----END OPENSSH PRIVATE KEY-----\n"
HOST_PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q host"
REGION = {"name": "us-east-1", "description": "Virginia, USA"}


def offer(**details: str) -> Offer:
    facts = {"type": "gpu_1x_a10", "region": "us-east-1", "family": "lambda-stack-24-04"}
    return Offer(
        id="gpu_1x_a10 us-east-1",
        provider="lambda",
        gpu="A10",
        gpu_count=1,
        gpu_memory_gib=24,
        price=Price(Decimal("1.29")),
        region="us-east-1",
        trust="secure",
        details={**facts, **details},
    )


def request(**details: str) -> MachineRequest:
    return MachineRequest(
        label=LABEL,
        offer=offer(**details),
        image="",
        disk_gib=56,
        public_key=PUBLIC_KEY,
        start_command="",
        host_private_key=HOST_PRIVATE,
        host_public_key=HOST_PUBLIC,
    )


def instance_type(**changes: Any) -> dict[str, Any]:
    return {
        "name": "gpu_1x_a10",
        "description": "1x A10 (24 GB PCIe)",
        "gpu_description": "A10 (24 GB PCIe)",
        "price_cents_per_hour": 129,
        "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1400, "gpus": 1},
        **changes,
    }


def types(*regions: str, **changes: Any) -> dict[str, Any]:
    """The answer of GET /instance-types with one type."""
    kind = instance_type(**changes)
    places = [{"name": name, "description": "somewhere"} for name in regions or ("us-east-1",)]
    item = {"instance_type": kind, "regions_with_capacity_available": places}
    return {"data": {kind["name"]: item}}


def image(**changes: Any) -> dict[str, Any]:
    return {
        "id": "43336648-096d-4cba-9aa2-f9bb7727639d",
        "created_time": "2026-07-01T00:00:00Z",
        "updated_time": "2026-07-01T00:00:00Z",
        "name": "lambda-stack-24-04",
        "description": "Lambda Stack",
        "family": "lambda-stack-24-04",
        "version": "24.4.1",
        "architecture": "x86_64",
        "region": REGION,
        **changes,
    }


def instance(**changes: Any) -> dict[str, Any]:
    """One active instance."""
    able = {name: {"available": True} for name in ("migrate", "rebuild", "restart", "cold_reboot")}
    return {
        "id": ID,
        "name": LABEL,
        "ip": "198.51.100.2",
        "private_ip": "10.19.60.24",
        "status": "active",
        "ssh_key_names": [LABEL],
        "file_system_names": [],
        "region": REGION,
        "instance_type": instance_type(),
        "hostname": "198-51-100-2",
        "actions": {**able, "terminate": {"available": True}},
        "tags": [{"key": "gpulease", "value": LABEL}],
        **changes,
    }


def ssh_key(**changes: Any) -> dict[str, Any]:
    key_id = "ddf9a910ceb744a0bb95242cbba6cb50"
    return {"id": key_id, "name": LABEL, "public_key": PUBLIC_KEY, **changes}
