"""BOOTING of a drill: nobody logs in; the machine is watched until it has ended itself.

A drill is a run, so that cap, reaper and restart hold for it too. That an account is drilled is
read from its drills' rows.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.budget.caps import must_return
from orchestrator.errors import MachineNotFound
from orchestrator.lifecycle.deadlines import DRILL_LATE_S
from orchestrator.lifecycle.leasing import abandon_unbooted, cancelled, finish
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.providers.base import MachineStatus, Provider
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome, Wish

_EARLY_S = 5.0  # of its clock against ours


def await_end(run: Run, world: World) -> Step:
    """Wait for the end that its guard promised; return the machine where that does not come."""
    lease = run.lease
    assert lease is not None
    if run.wish is not Wish.GO_ON:
        return cancelled(run, world)
    provider, identity = world.accounts.renter(lease.account, lease.provider)
    now_s = world.clock.now_s()
    if must_return(lambda ahead_s: run.upper_usd(now_s + ahead_s), cap_usd=run.cap_usd):
        return _failed(run, world, "it had not ended itself when the money for the drill ended")
    found = world.accounts.snapshot(lease.provider, max_age_s=provider.capabilities.poll_s)
    machine = found.by_id(lease.machine_id)
    if machine is None:
        return _gone(run, world, lease, provider, identity)
    world.right_key(lease)
    if machine.status is MachineStatus.STOPPED:
        return _failed(run, world, "it only stopped: a stopped machine is not gone, and may bill")
    # A pod that its provider calls running, and in which nothing was started, has no address.
    booting = machine.status is MachineStatus.BOOTING or machine.address is None
    if machine.status is MachineStatus.FAILED or (booting and now_s > lease.deadline_s):
        return abandon_unbooted(run, world, lease, "it never came up, so its guard was not tried")
    poll_s = provider.capabilities.poll_s
    if booting:
        return Wait(poll_s, "the machine boots")
    ran_s = world.awake_since_first_saw_s(f"{lease.key} runs")
    late_s = now_s - lease.deadline_s
    if min(late_s, ran_s) > DRILL_LATE_S:
        return _failed(run, world, f"it still ran {late_s / 60:.0f} min after its deadline")
    due = "is to end itself now" if late_s > 0 else f"is to end itself in {-late_s:.0f} s"
    return Wait(poll_s, f"the machine {due}")


def _gone(run: Run, world: World, lease: Lease, provider: Provider, identity: str) -> Step:
    """It is off the list: what its id says decides, and when that was."""
    assert lease.machine_id is not None
    try:
        provider.get_machine(lease.machine_id)
    except MachineNotFound:
        if not world.accounts.proves_absence(lease.account, identity):
            problem = f"the {lease.provider} key at hand may be another account's"
            return Wait(world.other_key(lease, provider), problem)
    else:
        return Wait(2.0, "the machine is not listed")
    now_s = world.clock.now_s()
    if now_s < lease.deadline_s - _EARLY_S:
        return _failed(run, world, "it was gone before its deadline, which proves nothing")
    if now_s - lease.deadline_s <= DRILL_LATE_S:  # it was watched: it may have ended late
        lease = replace(lease, unknown_s=now_s)
    run = run.with_lease(replace(lease, guard="drilled"))
    return finish(run, world, Outcome.SUCCEEDED, None, "the machine ended itself")


def _failed(run: Run, world: World, why: str) -> Moved:
    hint = "until a drill succeeds its guard is only plausible: keep this computer on"
    failure = Failure("guard", f"the guard of the machine did not end it: {why}", hint, 6)
    return finish(run, world, Outcome.FAILED, failure, why)
