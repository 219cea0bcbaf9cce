"""RETURNING: the run's end, once every machine is proven gone.

Where a machine must go at once, its bucket is looked at behind the proof: no store holds up a
return. What the bucket refuses, or turns out to lack, comes home from the machine instead.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.lifecycle.uploads import settle
from orchestrator.lifecycle.world import Moved, World
from orchestrator.runs.run import Run
from orchestrator.runs.states import State


def end(run: Run, world: World) -> Moved:
    """The end, with what the last machine left in the bucket where nobody had time to look before.

    Raises: BucketDown, BucketRefused for some minutes, which hold up no return any more.
    """
    if run.unsettled and run.lease is not None:
        run = replace(settle(run, world, run.lease)[0], unsettled=False)
    return Moved(run.move(State.ENDED, world.clock.now_s()), events=(f"ended: {run.outcome}",))
