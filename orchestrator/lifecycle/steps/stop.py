"""Asks the program to end while its results can still come home, and ends what does not heed."""

from __future__ import annotations

import shlex
from dataclasses import replace

from orchestrator.agent.protocol import AGENT, STOP_FILE, encode
from orchestrator.budget.caps import GRACE_S, must_stop
from orchestrator.errors import HostKeyMismatch, RemoteError, Unreachable
from orchestrator.lifecycle.balance import runs_dry
from orchestrator.lifecycle.report import to_exit
from orchestrator.lifecycle.world import World
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish

_STUBBORN_S = 600.0  # beyond its grace


def ask_to_stop(run: Run, world: World, lease: Lease, shell: Shell) -> Run:
    """Ask the program for a checkpoint and its end, once, when the person or the money says so."""
    if run.exit:
        return run
    if not run.stop_reason:
        # Saved before the program hears of it: after its end only this tells why it ended.
        return replace(run, stop_reason=_why_stop(run, world, lease))
    if run.stop_asked_s is not None and world.clock.now_s() - run.stop_asked_s < GRACE_S:
        return run
    _tell(run, shell)
    world.awake_since_first_saw_s(_stops_key(lease))
    return replace(run, stop_asked_s=world.clock.now_s())


def _tell(run: Run, shell: Shell) -> None:
    try:
        record = {"reason": run.stop_reason, "grace_s": run.launch.grace_s}
        shell.write(STOP_FILE, encode(record))
    except (Unreachable, HostKeyMismatch):
        raise
    except RemoteError:  # a disk that takes no byte: the agent is told by a signal
        words = f"{run.launch.grace_s} {shlex.quote(run.stop_reason)}"
        shell.run(f"python3 {AGENT} stop {words}", timeout_s=60.0)


def is_stubborn(run: Run, world: World, lease: Lease) -> bool:
    """Whether an agent that was asked to stop has had far more time than it needs."""
    if run.exit or _stops_key(lease) not in world.first_saw:
        return False
    return world.awake_since_first_saw_s(_stops_key(lease)) > run.launch.grace_s + _STUBBORN_S


def end_the_agent(run: Run, world: World, shell: Shell) -> Run:
    """The run as if its agent had ended; what lies on the machine is then another's to list."""
    shell.run(f"python3 {AGENT} kill", timeout_s=60.0)
    record = to_exit({"why": "finished", "message": "its agent did not stop the program"})
    return replace(run, exit={**record, "ended_at": world.clock.now_s()})


def _stops_key(lease: Lease) -> str:
    return f"{lease.key} stops"


def _why_stop(run: Run, world: World, lease: Lease) -> str:
    """Why the work must end now; empty while it may go on."""
    if run.wish is Wish.CANCEL:
        return "cancelled"
    now_s, collect_s = world.clock.now_s(), run.launch.collect_s
    if lease.bills and must_stop(
        lambda ahead_s: run.upper_usd(now_s + ahead_s), cap_usd=run.cap_usd, collect_s=collect_s
    ):
        return "cap"
    if world.clock.now_s() >= lease.stop_s:
        return "cap" if lease.capped else "duration"
    if runs_dry(lease, world.purse(lease), collect_s, world.clock.elapsed_s()):
        return "balance"
    return ""
