"""KEPT: all is home, and the machine waits for a next job, under the same lease and cap."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.clock import to_iso
from orchestrator.lifecycle.leasing import finish
from orchestrator.lifecycle.steps.over import must_end
from orchestrator.lifecycle.steps.watch import has_vanished
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome, State, Wish

_LOOK_S = 10.0
_WORTH_KEEPING = (Outcome.SUCCEEDED, Outcome.FAILED)


def keep_or_finish(
    run: Run, world: World, outcome: Outcome, failure: Failure | None, why: str
) -> Moved:
    """The run, all of whose results are home, with its machine kept for as long as was asked.

    Not when a person or the money ended the job: then nothing more is to be spent.
    """
    lease = run.lease
    assert lease is not None
    is_whole = not run.artifacts_missing and not run.stop_reason and run.wish is Wish.GO_ON
    if not run.launch.keep_s or outcome not in _WORTH_KEEPING or not is_whole:
        return finish(run, world, outcome, failure, why)
    now_s = world.clock.now_s()
    until_s = min(now_s + run.launch.keep_s, lease.deadline_s)
    kept = replace(run, outcome=outcome, failure=failure, kept_until_s=until_s)
    event = f"{why}; the machine is kept until {to_iso(until_s)}"
    return Moved(kept.move(State.KEPT, now_s), events=(event,))


def keep(run: Run, world: World) -> Step:
    """Hold the machine until its time is over, somebody wants it back, or the money says so.

    Another run may take it over at any moment: that is one transaction, which this step's loses to.
    """
    lease = run.lease
    assert lease is not None and run.outcome is not None
    now_s = world.clock.now_s()
    why = ""
    if run.wish is not Wish.GO_ON:
        why = "the kept machine is wanted back"
    elif now_s >= run.kept_until_s:
        why = "nobody used the kept machine again in its time"
    else:
        why = must_end(run, lease, world)
    if not why and lease.bills and has_vanished(world, lease):
        why = "the kept machine ended"
    if why:
        return finish(run, world, run.outcome, run.failure, why)
    return Wait(min(_LOOK_S, run.kept_until_s - now_s), "")
