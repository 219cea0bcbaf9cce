"""What goes wrong with one machine: drawn when it is rented or started, due by the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from infra.simcloud.faults import Fault
from infra.simcloud.rented import Rented

# Faults that happen some seconds after a machine runs, and where their moment is kept.
_MOMENTS = {
    "error_status": "fails_at_s",
    "exited": "stops_at_s",
    "outbid": "stops_at_s",
    "vanishes": "vanishes_at_s",
    "restarts_elsewhere": "moves_at_s",
}
OUTBID = "Outbid"
_PULL_ERROR = "toomanyrequests: You have reached your unauthenticated pull rate limit."
_PULLS_AGAIN_S = 10.0

_SYSTEM_NOT_READY = 802
_HALTED_S = 180.0  # so long a computer that was halted from inside counts as healthy

Delay = Callable[[float], float]


def spoil_order(machine: Rented, faults: Mapping[str, Fault]) -> None:
    """What is wrong from its placement on: price and GPUs."""
    if fault := faults.get("price_above"):
        machine.usd_per_hour *= Decimal(str(fault.number("factor", 2.0)))
    machine.faults = faults
    machine.without_gpus = "zero_gpu" in faults
    machine.shows_stale_runtime = "stale_runtime" in faults


def cuda_error(faults: Mapping[str, Fault]) -> int:
    """What CUDA says instead of starting, on a GPU that is listed; 0: it starts."""
    return _SYSTEM_NOT_READY if "cuda_dead" in faults else 0


def spoil_boot(machine: Rented, faults: Mapping[str, Fault], delay_s: Delay) -> None:
    """What will happen to it instead of, or behind, its boot."""
    if "boot_stuck" in faults:
        machine.starting_at_s = machine.running_at_s = math.inf
    if fault := faults.get("image_error"):
        machine.starting_at_s = machine.running_at_s = math.inf
        machine.pull_error = str(fault.options.get("text") or _PULL_ERROR)
    if {"starting_stuck", "never_starts", "born_unhealthy"} & set(faults):
        machine.running_at_s = math.inf
    machine.never_starts = "never_starts" in faults
    if fault := faults.get("ssh_late"):
        machine.ssh_open_at_s += delay_s(fault.seconds(30.0))
    for name, moment in _MOMENTS.items():
        if fault := faults.get(name):
            setattr(machine, moment, machine.running_at_s + delay_s(fault.seconds(0.0)))
    if "outbid" in faults:
        machine.stop_reason = OUTBID
    if fault := faults.get("restart_loop"):
        machine.returns_after_s = delay_s(fault.seconds(0.0))
    if fault := faults.get("no_direct_ssh"):
        shown_s = delay_s(fault.seconds(math.inf))
        machine.address_from_s = machine.running_at_s + shown_s
    for door in (machine.ssh, machine.proxy):
        if door:
            door.silent = "ssh_no_banner" in faults


def tell_pull_error(machine: Rented, now_s: float, delay_s: Delay) -> None:
    """Its host tries once more to get its image, and says what came of it."""
    if machine.pull_error and now_s >= machine.pull_error_at_s:
        machine.pull_error_at_s = now_s + delay_s(_PULLS_AGAIN_S)
        machine.log.write(now_s, "system", f"error pulling image: {machine.pull_error}")


def spoil_start(
    machine: Rented, faults: Mapping[str, Fault], old_port: int | None, now_s: float, delay_s: Delay
) -> None:
    """What goes wrong with a machine that was stopped and starts again."""
    machine.without_gpus = "start_zero_gpu" in faults
    if fault := faults.get("start_stale_address"):
        machine.old_port = old_port
        machine.old_port_until_s = now_s + delay_s(fault.seconds(30.0))


def fall_silent(machine: Rented, now_s: float, delay_s: Delay) -> None:
    """A whole computer was halted from inside: its provider notices later, and bills on."""
    if machine.fails_at_s == math.inf:
        machine.fails_at_s = now_s + delay_s(_HALTED_S)


def forget_moments(machine: Rented) -> None:
    """Nothing of an earlier life is still to come."""
    for moment in _MOMENTS.values():
        setattr(machine, moment, math.inf)
    machine.restart_at_s = math.inf
    machine.stop_reason = machine.pull_error = ""
    machine.never_starts = False
    machine.address_from_s = -math.inf
