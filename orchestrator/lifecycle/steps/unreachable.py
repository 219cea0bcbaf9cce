"""A computer of one's own that does not answer costs nothing: it is waited for, for a day.

What is in the run's bucket by then counts as if it had answered.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import (
    BadCredentials,
    BucketDown,
    BucketRefused,
    GpuleaseError,
    ProviderDown,
)
from orchestrator.lifecycle.leasing import finish
from orchestrator.lifecycle.steps.verdict import verdict
from orchestrator.lifecycle.uploads import settle
from orchestrator.lifecycle.world import Step, Wait, World
from orchestrator.runs.lease import TOMBSTONE_WATCH_S, Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State

UNREACHABLE_S = 24 * 3600.0
_TRIED_S = 600.0  # by this process, awake: a day asleep is no day of trying
_AGAIN_S = 30.0
_AT_WORK = (State.SETTING_UP, State.RUNNING, State.COLLECTING)


def wait_for_answer(run: Run, world: World, error: GpuleaseError) -> Step | None:
    """What a run at work does when its provider fails; None where the usual patience holds."""
    lease = run.lease
    if lease is None or run.state not in _AT_WORK or not _is_silence(lease, error):
        return None
    lease = _since(lease, world)
    run = run.with_lease(lease)
    if not _is_over(lease, world):
        return Wait(_AGAIN_S, f"{error.problem}; the job may go on there", run)
    try:
        run, is_whole = settle(run, world, lease)
    except (BucketDown, BucketRefused) as silence:
        return Wait(_AGAIN_S, silence.problem, run)
    if is_whole:
        why = f"{lease.provider} does not answer; everything is in the bucket"
        return finish(run, world, *verdict(run), why)
    failure = Failure(
        "unreachable",
        f"{lease.provider} has not answered for {UNREACHABLE_S / 3600:.0f} h: {error.problem}",
        error.hint or "submit again when it is back",
        6,
    )
    missing = run.artifacts_missing or ("everything after the last pull: nobody answers",)
    # Once the machine is given up, the bucket is looked into once more.
    run = replace(run, artifacts_missing=missing, unsettled=bool(run.launch.bucket))
    return finish(run, world, Outcome.UNREACHABLE, failure, failure.problem)


def leave_behind(run: Run, world: World, lease: Lease, error: GpuleaseError) -> Run | None:
    """The run while a machine cannot be returned, in the end with a tombstone; None as above.

    What is found under the tombstone's label later is returned.
    """
    if not _is_silence(lease, error):
        return None
    lease = _since(lease, world)
    if not _is_over(lease, world):
        return run.with_lease(lease)
    why = f"{lease.provider} has not answered for a day: what is left there goes when it does"
    watch_until_s = world.clock.now_s() + TOMBSTONE_WATCH_S
    tombstone = lease.move(LeaseState.TOMBSTONE, watch_until_s=watch_until_s)
    return run.with_lease(tombstone).note(why)


def answered(run: Run, world: World, step: Step) -> Step:
    """The step of a run whose provider did not fail: the day begins anew with the next silence."""
    after = step.run or run
    lease = after.lease
    if lease is None or lease.unreached_s is None:
        return step
    return replace(step, run=reached(after, world, lease))


def reached(run: Run, world: World, lease: Lease) -> Run:
    """The run with a lease whose provider answered."""
    if lease.unreached_s is None:
        return run
    world.first_saw.pop(_key(lease), None)
    return run.with_lease(replace(lease, unreached_s=None))


def _is_silence(lease: Lease, error: GpuleaseError) -> bool:
    return not lease.bills and isinstance(error, ProviderDown | BadCredentials)


def _since(lease: Lease, world: World) -> Lease:
    world.awake_since_first_saw_s(_key(lease))
    if lease.unreached_s is not None:
        return lease
    return replace(lease, unreached_s=world.clock.now_s())


def _is_over(lease: Lease, world: World) -> bool:
    assert lease.unreached_s is not None
    silent_s = world.clock.now_s() - lease.unreached_s
    return silent_s >= UNREACHABLE_S and world.awake_since_first_saw_s(_key(lease)) >= _TRIED_S


def _key(lease: Lease) -> str:
    return f"{lease.key} silence"
