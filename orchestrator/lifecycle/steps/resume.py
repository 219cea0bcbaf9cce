"""The work of a lost machine goes on elsewhere, from the last checkpoint at home."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.budget.caps import LEAST_WORK_S
from orchestrator.budget.price import Price
from orchestrator.errors import ArtifactsError, HomeDiskFull, RemoteError
from orchestrator.lifecycle.deadlines import START_BY_S
from orchestrator.lifecycle.leasing import good_from, next_offer, work_left_s
from orchestrator.lifecycle.steps.verdict import verdict
from orchestrator.lifecycle.uploads import bring_checkpoint
from orchestrator.lifecycle.world import Moved, World
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Outcome, Wish

_BRING_S = 120.0


def resume(run: Run, world: World, lease: Lease) -> Moved | None:
    """The run on its way to another machine, or to its end with the failure that there is none.

    None when nothing else is to be tried.

    A machine that was not heard for as long as it holds results may have ended itself with the
    job done; and a computer that was away for long rents nothing that nobody asked for any more.
    """
    now_s = world.clock.now_s()
    patience_s = min(run.launch.hold_s, START_BY_S)
    if run.stop_reason or now_s - run.heard_s >= patience_s:
        return None
    if work_left_s(run, now_s) < LEAST_WORK_S:
        return None
    _bring_from_machine(run, world, lease)
    if not bring_checkpoint(run, world, lease):
        return None
    newest = next(iter(world.home_store(run).checkpoints()), None)
    where = f"from its checkpoint at step {newest.step}" if newest else "from the start"
    lost = f"{_what_became(run, lease, now_s)}; the job goes on {where} on another machine"
    fresh = replace(good_from(run, run.heard_s), event_offset=0, progress={}, checkpoint="")
    # Nothing that the lost machine said of its end counts for the next one.
    fresh = replace(fresh, upload="", slots_sent_s=0.0, manifest_ready=False, stop_asked_s=None)
    fresh = fresh.note(lost)
    if lease.reclaimed_s is not None and run.order is not None:
        moved = _ask_elsewhere(fresh, world)
    else:
        moved = next_offer(fresh, world, "the machine was lost", same=True)
    if moved.run.failure is not None:
        return moved
    log = world.log(run)
    with contextlib.suppress(HomeDiskFull):
        log.append(f"\n[gpulease: {lost}]\n".encode())
    log_base = log.size_bytes()
    instead = replace(moved.instead, log_base=log_base) if moved.instead is not None else None
    return replace(moved, run=replace(moved.run, log_base=log_base), instead=instead)


def make_anew(run: Run, world: World, lease: Lease) -> Moved | None:
    """The run on its way to another machine, where a bid was lost before the results were home.

    Its program had ended well: what it did since its last checkpoint is all that is done again.
    """
    is_over = world.clock.now_s() >= lease.stop_s or run.wish is not Wish.GO_ON
    if lease.reclaimed_s is None or is_over or verdict(run)[0] is not Outcome.SUCCEEDED:
        return None
    unended = replace(run, exit={}, exit_seen_s=None, artifacts=(), metrics={})
    moved = resume(unended, world, lease)
    return moved if moved is not None and moved.run.failure is None else None


def _what_became(run: Run, lease: Lease, now_s: float) -> str:
    """How the machine was lost, and what that costs, for a person."""
    if lease.reclaimed_s is None:
        return f"{lease.machine_id} was lost"
    spent = f"it had cost ${lease.cost_usd(now_s):.2f}"
    if not run.launch.bucket and lease.sent_s is not None:
        anew_s = lease.reclaimed_s - max(lease.sent_s, run.checkpoint_pulled_s)
        anew_usd = Price(lease.usd_per_hour).for_seconds(anew_s)
        spent += f", ${anew_usd:.2f} of it for what is done again"
    return f"{lease.machine_id} was taken away by a higher bid ({spent})"


def _ask_elsewhere(run: Run, world: World) -> Moved:
    """The run on its way to whatever is the best offer now.

    The plan is as old as the machine: bids have changed, and this reclaim counts in the rank.
    """
    tried = replace(run, next_candidate=len(run.candidates))
    moved = next_offer(tried, world, "taken away by a higher bid")
    if moved.run.failure is not None:
        return moved
    return replace(moved, run=replace(moved.run, asked_s=0.0, waiting="another machine is sought"))


def _bring_from_machine(run: Run, world: World, lease: Lease) -> None:
    """Bring home what a machine saved last, where it is given up and can still be reached.

    Its container was only started anew: the agent is gone, and what it wrote is there.
    """
    if run.launch.bucket or run.checkpoint in ("", run.checkpoint_home):
        return
    until_s = world.clock.awake_s() + _BRING_S
    with contextlib.suppress(RemoteError, ArtifactsError):
        shell, store = world.shell(run, lease), world.home_store(run)
        while world.clock.awake_s() < until_s:
            limit_bytes = run.launch.disk_gib << 31
            arrived = store.fetch_checkpoint(shell, run.checkpoint, limit_bytes=limit_bytes)
            if isinstance(arrived, Checkpoint):
                return
