"""RunPod's JSON as its documents show it, for tests to vary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import MachineRequest

KEY = "rpa_EXAMPLEKEY"
LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRlc3Q run"


def offer(**details: str) -> Offer:
    return Offer(
        id="NVIDIA GeForce RTX 4090 x1 SECURE",
        provider="runpod",
        gpu="RTX 4090",
        gpu_count=1,
        gpu_memory_gib=24,
        price=Price(Decimal("0.694")),
        trust="secure",
        details={"gpu_id": "NVIDIA GeForce RTX 4090", "cloud": "SECURE", **details},
    )


def request(**details: str) -> MachineRequest:
    return MachineRequest(
        label=LABEL,
        offer=offer(least_cuda="12.8", **details),
        image="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        disk_gib=56,
        public_key=PUBLIC_KEY,
        start_command='echo "it\'s" armed\nsleep infinity',
        environment={"GPULEASE_LABEL": LABEL},
    )


def gpu(**changes: Any) -> dict[str, Any]:
    """One card of the catalog."""
    return {
        "id": "NVIDIA GeForce RTX 4090",
        "name": "RTX 4090",
        "pool": "ADA_24",
        "manufacturer": "NVIDIA",
        "memory": 24,
        "secure": True,
        "community": True,
        "price": {"secure": 0.69, "community": 0.34, "serverless": 1.1},
        "maxCount": {"secure": 8, "community": 4},
        "availability": "HIGH",
        "dataCenters": [
            {"id": "US-KS-2", "name": "US Kansas 2", "availability": "LOW"},
            {"id": "EU-RO-1", "name": "EU Romania 1", "availability": "HIGH"},
        ],
        "cudaVersions": [
            {"version": "12.8", "available": True},
            {"version": "12.10", "available": False},
        ],
        **changes,
    }


def pod(**changes: Any) -> dict[str, Any]:
    """One running pod."""
    return {
        "id": "7h9k2m4n6p",
        "name": LABEL,
        "status": "RUNNING",
        "actions": ["stop", "restart", "terminate"],
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "args": "",
        "disk": 60,
        "mounts": {},
        "ports": ["22/tcp"],
        "env": {"PUBLIC_KEY": PUBLIC_KEY},
        "registry": None,
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1, "vcpuCount": 16, "memory": 62},
        "cloud": "SECURE",
        "dataCenterId": "EU-RO-1",
        "cudaVersion": "12.8",
        "ssh": {
            "proxy": None,
            "direct": {
                "host": "195.26.233.3",
                "port": 34446,
                "username": "root",
                "command": "ssh root@195.26.233.3 -p 34446",
            },
        },
        "template": None,
        "cost": 0.69,
        "locked": False,
        "globalNetworking": {"enabled": False},
        "runtime": {"uptime": 60},
        "createdAt": "2026-11-23T10:00:00Z",
        "startedAt": "2026-11-23T10:02:00Z",
        **changes,
    }
