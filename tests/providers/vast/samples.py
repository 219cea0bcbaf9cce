"""Vast.ai's JSON as its documents show it, for tests to vary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Bid, Offer
from orchestrator.providers.base import MachineRequest

KEY = "vast-example-key"
LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRlc3Q run"
NOW_S = 1_788_790_600.0
ASK, INSTANCE = 7001, 12345678


BID = Bid(Decimal("0.20"))


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "id": "RTX 4090 x1 machine 301",
        "provider": "vast",
        "gpu": "RTX 4090",
        "gpu_count": 1,
        "gpu_memory_gib": 24,
        "price": Price(Decimal("0.37"), Decimal("0.003"), Decimal("0.003"), Decimal("0.02")),
        "details": {"ask": str(ASK), "machine": "301", "host": "41"},
    }
    return Offer(**{**fields, **changes})


def request(**changes: Any) -> MachineRequest:
    fields: dict[str, Any] = {
        "label": LABEL,
        "offer": offer(),
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "disk_gib": 56,
        "public_key": PUBLIC_KEY,
        "start_command": 'echo "it\'s" armed\n',
        "environment": {"GPULEASE_LABEL": LABEL},
    }
    return MachineRequest(**{**fields, **changes})


def row(**changes: Any) -> dict[str, Any]:
    """One offer of a search, as Answer.data() would give it."""
    return {
        "id": ASK,
        "ask_contract_id": ASK,
        "machine_id": 301,
        "host_id": 41,
        "hosting_type": 0,
        "verification": "verified",
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "gpu_arch": "nvidia",
        "gpu_ram": 24564,
        "compute_cap": 890,
        "cuda_max_good": Decimal("12.8"),
        "cpu_arch": "amd64",
        "cpu_cores": 64,
        "cpu_cores_effective": Decimal("16.0"),
        "cpu_ram": 257000,
        "disk_space": Decimal("512.0"),
        "inet_up": Decimal("820.0"),
        "inet_down": Decimal("910.0"),
        "inet_up_cost": Decimal("0.003"),
        "inet_down_cost": Decimal("0.002"),
        "storage_cost": Decimal("0.15"),
        "storage_total_cost": Decimal("0.0166667"),
        "dph_base": Decimal("0.35"),
        "dph_total": Decimal("0.3666667"),
        "min_bid": Decimal("0.18"),
        "is_bid": False,
        "reliability2": Decimal("0.994"),
        "duration": Decimal("1209600.0"),
        "direct_port_count": 100,
        "geolocation": "Quebec, CA",
        "rentable": True,
        "rented": False,
        "resource_type": "gpu",
        "external": False,
        **changes,
    }


def instance(**changes: Any) -> dict[str, Any]:
    """One running instance."""
    return {
        "id": INSTANCE,
        "label": LABEL,
        "machine_id": 301,
        "host_id": 41,
        "actual_status": "running",
        "intended_status": "running",
        "cur_state": "running",
        "next_state": "running",
        "status_msg": "success, running ghcr.io_acme_train/ssh",
        "image_runtype": "ssh ssh_direc ssh_proxy",
        "extra_env": [["JOB_ID", "9f3c"]],
        "ssh_host": "ssh5.vast.ai",
        "ssh_port": 15678,
        "public_ipaddr": "203.0.113.7",
        "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40123"}]},
        "start_date": Decimal("1788790400.5"),
        "end_date": Decimal("1790000000.0"),
        "uptime_mins": Decimal("3.2"),
        "num_gpus": 1,
        "gpu_name": "RTX 4090",
        "gpu_ram": 24564,
        "disk_space": Decimal("80.0"),
        "dph_base": Decimal("0.35"),
        "dph_total": Decimal("0.3666667"),
        "is_bid": False,
        "storage_cost": Decimal("0.15"),
        "inet_up_cost": Decimal("0.003"),
        "inet_down_cost": Decimal("0.003"),
        "verification": "verified",
        **changes,
    }


def stopped(**changes: Any) -> dict[str, Any]:
    """The three states of a contract that lost its claim."""
    three = {"cur_state": "stopped", "intended_status": "stopped", "next_state": "stopped"}
    return instance(**{**three, **changes})
