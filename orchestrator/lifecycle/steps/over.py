"""Whether a run's machine must go back now, whatever its step is at."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.budget.caps import must_return
from orchestrator.lifecycle.deadlines import LATE_S
from orchestrator.lifecycle.guards import UNGUARDED
from orchestrator.lifecycle.leasing import cancelled, finish
from orchestrator.lifecycle.steps.verdict import capped, out_of_time
from orchestrator.lifecycle.world import Moved, World
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Outcome, State, Wish

UNSEEN_S = 60.0  # of the RETURN_S that are kept, for what a provider cannot tell now
_REACHED_S = 60.0  # an awake driver reaches a machine at least so often before its deadline
UNKNOWN = "what the machine made, if its agent was started: nobody reached it any more"


def must_end(run: Run, lease: Lease, world: World) -> str:
    """Why a machine must go back now, collected or not; empty while it may stay.

    A computer that was away for hours asks `machine_lost` first: it may have ended long ago.
    Each call also keeps when this process last reached the machine in time, for `_may_be_late`.
    """
    if not lease.bills:
        return ""
    now_s = world.clock.now_s()
    if must_return(lambda ahead_s: run.upper_usd(now_s + ahead_s), cap_usd=run.cap_usd):
        return "the cap leaves money only for the return"
    if now_s <= lease.deadline_s:
        if lease.connection in world.shells:  # which an error drops
            world.reached_s[lease.key] = now_s
        return ""
    if _may_be_late(run, lease, world):
        return ""
    return "its deadline has passed"


def must_end_for_s(world: World, lease: Lease) -> float:
    """For how long this process, awake, has known that a machine must go."""
    return world.awake_since_first_saw_s(f"{lease.key} must go")


def end_unshipped(run: Run, world: World) -> Moved | None:
    """The run's way to its end, where its machine has to go although nobody ended it for a minute.

    BOOTING and SHIPPING know better how a late machine ends, as long as they get anywhere.
    """
    lease = run.lease
    assert lease is not None
    why = must_end(run, lease, world)
    if not why or must_end_for_s(world, lease) < UNSEEN_S:
        return None
    if run.state is State.SHIPPING:
        run = replace(run, artifacts_missing=(UNKNOWN,), unsettled=bool(run.launch.bucket))
    if world.clock.now_s() > lease.deadline_s:
        return finish(run, world, *out_of_time(run, lease), why)
    return finish(run, world, Outcome.CAPPED, capped(run), why)


def end_unshipped_or_cancel(run: Run, world: World) -> Moved | None:
    """The same, for whoever looks beside a step that takes long; also where a person said so."""
    if run.launch.drill:
        return None  # it waits for the provider alone
    if run.wish is Wish.CANCEL_NOW:
        return cancelled(run, world)
    return end_unshipped(run, world)


def _may_be_late(run: Run, lease: Lease, world: World) -> bool:
    """Whether a machine that outlived its deadline, as one without a guard does, is collected.

    Nobody was there to end it, its results still lie on it, and the cap leaves room.
    """
    if lease.guard not in UNGUARDED:
        return False
    if lease.deadline_s - world.reached_s.get(lease.key, 0.0) < _REACHED_S:
        return False  # this process was there until the deadline, and could collect
    seen_s = world.awake_since_first_saw_s(f"{lease.key} outlived its deadline")
    return seen_s < run.launch.collect_s + LATE_S
