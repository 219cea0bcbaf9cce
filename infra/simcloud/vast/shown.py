"""Instances as Vast's API shows them."""

from __future__ import annotations

import math

from infra.simcloud.net import LOOPBACK
from infra.simcloud.rented import Phase, Rented
from infra.simcloud.vast.facts import Facts, facts_of
from infra.simcloud.vast.mishaps import spoil_row
from infra.simcloud.vast.rows import machine_facts, per, prices
from infra.simcloud.web import Json
from infra.simcloud.world import World

# Columns that can be filtered and ordered by; everything else is computed.
STORED = ("id", "label", "actual_status", "intended_status", "cur_state", "next_state",
          "machine_id", "host_id", "gpu_name", "verification", "image_uuid", "start_date",
          "end_date", "is_bid")  # fmt: skip


def instance_row(
    world: World, machine: Rented, *, lagging: bool = False, single: bool = False
) -> dict[str, Json]:
    """One instance, in a list or a `single` one; `lagging`: it may have ended, and still shows."""
    facts = facts_of(machine)
    now_s = world.clock.now_s()
    phase = machine.shown_phase if lagging and not machine.alive else machine.phase
    runs = phase is Phase.RUNNING
    status, message = _status(machine, facts, phase, now_s)
    wanted = "running" if facts.wants_to_run and phase is not Phase.STOPPED else "stopped"
    state = "running" if phase in (Phase.PLACED, Phase.STARTING, Phase.RUNNING) else "stopped"
    row: dict[str, Json] = {
        **machine_facts(facts.host, facts.gpus),
        "id": int(machine.id),
        "label": facts.label,
        "bundle_id": facts.host.machine_id * 10 + facts.gpus,
        "actual_status": status,
        "intended_status": wanted,
        "cur_state": state,
        "next_state": state,
        "status_msg": message,
        **_created_with(facts),
        **_address(machine, facts),
        "start_date": machine.created_s,
        "end_date": facts.end_s,
        "duration": facts.end_s - now_s,
        "uptime_mins": (now_s - machine.started_s) / 60 if runs and machine.started_s else None,
        "gpu_totalram": facts.host.kind.ram_mb * facts.gpus,
        **_usage(runs, facts),
        **_price(machine, facts),
        "inet_up_billed": machine.traffic.bytes_out / 1e9,
        "inet_down_billed": machine.traffic.bytes_in / 1e9,
        "credit_balance": None,
        "credit_discount": None,
        "rentable": False,
        "country_code": None,
        "client_run_time": max(0.0, now_s - machine.created_s),
        "host_run_time": 8_640_000.0,
        "time_remaining": "",
        "time_remaining_isbid": "",
        "volume_info": [],
    }
    if runs and (ports := _ports(machine, facts, now_s)):
        row["ports"] = ports
    spoil_row(row, machine, facts, now_s, single=single)
    return row


def _status(
    machine: Rented, facts: Facts, phase: Phase, now_s: float
) -> tuple[str | None, str | None]:
    """`actual_status` and `status_msg`."""
    image = facts.asked.image.replace("/", "_").replace(":", "_")
    if phase is Phase.PLACED:
        return None, None
    if phase is Phase.STARTING:
        return "loading", f"pulling image {facts.asked.image}"
    if phase is Phase.RUNNING and machine.restart_at_s != math.inf:
        return "exited", "Exited (0)"
    if phase is Phase.RUNNING:
        return "running", f"success, running {image}/ssh"
    if phase is Phase.LOST:
        return "offline", None
    if machine.started_s is None:
        return "created", machine.last_change
    return "stopped", machine.last_change


def _created_with(facts: Facts) -> dict[str, Json]:
    asked = facts.asked
    return {
        "image_uuid": asked.image,
        "image_args": list(asked.args),
        "image_runtype": asked.runtype,
        "extra_env": [[name, value] for name, value in asked.env.items()],
        "onstart": asked.onstart or None,
        "template_id": None,
        "template_hash_id": None,
        "template_name": None,
        "jupyter_token": "0" * 64,
    }


def _address(machine: Rented, facts: Facts) -> dict[str, Json]:
    """The proxy's address, which a real one gives as a name under vast.ai, and the host's own."""
    port = machine.proxy.port if machine.proxy else None
    if port is not None and "jupyter" in facts.asked.runtype:
        port -= 1  # clients add it again
    direct = machine.ssh_port if machine.has_address and machine.ssh_port else -1
    return {
        "ssh_host": LOOPBACK,
        "ssh_port": port,
        "ssh_idx": "5",
        "public_ipaddr": LOOPBACK,
        "local_ipaddrs": "10.0.0.5 172.17.0.2 \n",
        "machine_dir_ssh_port": 21000,
        "direct_port_start": direct,
        "direct_port_end": direct,
    }


def _ports(machine: Rented, facts: Facts, now_s: float) -> dict[str, Json]:
    """As docker says it: ports are text."""
    ports: dict[str, int] = dict(facts.ports)
    if machine.shows_address(now_s) and machine.ssh_port:
        ports["22/tcp"] = machine.ssh_port
    return {name: [{"HostIp": "0.0.0.0", "HostPort": str(port)}] for name, port in ports.items()}


def _usage(runs: bool, facts: Facts) -> dict[str, Json]:
    seen = 0.0 if runs else None
    return {
        "disk_space": float(facts.disk_gb),
        "disk_util": 0.05 if runs else -1,
        "disk_usage": 0.05 if runs else -1,
        "cpu_util": 0.0,
        "gpu_util": seen,
        "gpu_temp": 38.0 if runs else None,
        "mem_limit": 32.0 if runs else None,
        "mem_usage": seen,
        "vmem_usage": seen,
    }


def _price(machine: Rented, facts: Facts) -> dict[str, Json]:
    disk_usd = machine.disk_usd_per_hour
    gpu_usd, kind = machine.usd_per_hour - disk_usd, facts.host.kind
    return {
        "dph_base": float(gpu_usd),
        "dph_total": float(machine.usd_per_hour),
        "storage_total_cost": float(disk_usd),
        "is_bid": facts.bid_usd is not None,
        "min_bid": float(facts.host.min_bid_usd(facts.gpus)),
        "credit_discount_max": 0.4,
        "score": per(kind.dlperf * facts.gpus, machine.usd_per_hour),
        "dlperf_per_dphtotal": per(kind.dlperf * facts.gpus, machine.usd_per_hour),
        "flops_per_dphtotal": per(kind.tflops * facts.gpus, machine.usd_per_hour),
        "vram_costperhour": 0.0,
        "search": prices(gpu_usd, disk_usd),
        "instance": prices(gpu_usd, disk_usd),
    }
