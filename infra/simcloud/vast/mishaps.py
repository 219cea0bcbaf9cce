"""What goes wrong with one instance: with its boot, and with what the API shows of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from infra.simcloud.rented import Phase, Rented
from infra.simcloud.vast.facts import Facts
from infra.simcloud.vast.faults import OCI_ERROR
from infra.simcloud.web import Json

EXPIRED = "Contract expired"
_STATES = ("cur_state", "next_state", "intended_status")

Delay = Callable[[float], float]
Row = dict[str, Json]


def spoil(machine: Rented, facts: Facts, delay_s: Delay) -> None:
    """What will happen to a new instance instead of its boot, or behind it."""
    faults = machine.faults
    if "created_stuck" in faults:
        machine.running_at_s = math.inf
    if fault := faults.get("oci_error"):
        machine.fails_at_s, machine.running_at_s = machine.starting_at_s, math.inf
        machine.last_change = str(fault.options.get("text") or OCI_ERROR)
    if fault := faults.get("goes_unknown"):
        facts.unknown_from_s = machine.running_at_s + delay_s(fault.seconds(0.0))
        facts.unknown_until_s = facts.unknown_from_s + delay_s(fault.number("lasts", 120.0))
    if (fault := faults.get("expires")) and machine.running_at_s < math.inf:
        facts.end_s = machine.running_at_s + delay_s(fault.seconds(0.0))
    if fault := faults.get("disk_smaller"):
        facts.disk_gb *= Decimal(str(fault.number("factor", 0.5)))
    end_at_its_contract(machine, facts)


def end_at_its_contract(machine: Rented, facts: Facts) -> None:
    """It stops when the host's offer ends, unless something stops it before."""
    if facts.end_s < machine.stops_at_s:
        machine.stops_at_s, machine.stop_reason = facts.end_s, EXPIRED


def start_modes(machine: Rented) -> str:
    """What its start script is told to do wrong, as words."""
    faults = machine.faults
    modes = [name for name in ("ssh_no_auth", "login_noise") if name in faults]
    if fault := faults.get("key_late"):
        modes.append(f"key_late={fault.seconds(30.0):g}")
    return " ".join(modes)


def spoil_row(row: Row, machine: Rented, facts: Facts, now_s: float, *, single: bool) -> None:
    """Change what the API shows of an instance."""
    faults = machine.faults
    if machine.phase is Phase.STARTING:
        if "created_stuck" in faults:
            row["actual_status"], row["status_msg"] = "created", None
        if "loading_stopped" in faults:
            row |= dict.fromkeys(("cur_state", "next_state"), "stopped")
    odd = faults.get("odd_status")
    if odd and machine.phase.value == odd.options.get("when", "starting"):
        row["actual_status"] = str(odd.options.get("word", "scheduling"))
    if machine.phase is Phase.PLACED and machine.pull_error:
        row["actual_status"], row["status_msg"] = "loading", machine.pull_error
    if machine.phase is Phase.RUNNING and facts.unknown_from_s <= now_s < facts.unknown_until_s:
        row["actual_status"] = "unknown"
    if "untidy_address" in faults:
        row["public_ipaddr"] = f"{row['public_ipaddr']}\n"
    _spoil_ports(row, machine, now_s, single=single)


def _spoil_ports(row: Row, machine: Rented, now_s: float, *, single: bool) -> None:
    faults = machine.faults
    late = faults.get("ports_late")
    too_early = late and now_s < (machine.started_s or now_s) + late.seconds(30.0)
    if too_early or "ports_missing" in faults or (single and "ports_list_only" in faults):
        row.pop("ports", None)
    ports = row.get("ports")
    if "ports_host_ip_only" in faults and isinstance(ports, dict):
        row["ports"] = {name: [{"HostIp": "0.0.0.0"}] for name in ports}
