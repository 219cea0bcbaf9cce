"""A home that was restored from an older copy: the cloud has a machine that the store forgot."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.leasing import finish, nothing_rented
from orchestrator.lifecycle.steps.over import UNKNOWN
from orchestrator.lifecycle.world import Moved, World
from orchestrator.providers.base import Machine
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome, State

_PASS_S = 60.0


def take_up(run: Run, world: World, lease: Lease) -> Moved | None:
    """What to do instead of renting when this run has a machine that its store knows nothing of.

    None when there is none, or nobody can say: a list that fails keeps nobody from renting.
    """
    try:
        # Whoever watches lists returns what was forgotten.
        snapshot = world.accounts.snapshot(lease.provider, max_age_s=_PASS_S)
    except GpuleaseError:
        return None
    if found := snapshot.under(lease.label):
        # As a process goes on that finds another's intent: by a look, and never by a create.
        sent_s = min(found[0].created_at_s, world.clock.now_s())
        known = replace(lease, account=snapshot.identity, sent_s=sent_s)
        why = f"{found[0].id} carries the label already: this home is an older copy of itself"
        taken = run.with_lease(known).note(why).move(State.RENTING, world.clock.now_s())
        # Until a job begins: its agent may have worked, and its login be younger than this copy.
        missing = replace(taken, artifacts_missing=(UNKNOWN,), unsettled=bool(run.launch.bucket))
        return Moved(missing, events=(why,))
    labels = {one.label for one in run.leases}
    ours = [one for one in snapshot.machines if _is_of(one, run, world) and one.label not in labels]
    return _refuse(run, world, lease, ours[0]) if ours else None


def _is_of(machine: Machine, run: Run, world: World) -> bool:
    label = parse_label(machine.label)
    return label is not None and (label.home, label.run) == (world.home_id, run.id)


def _refuse(run: Run, world: World, lease: Lease, machine: Machine) -> Moved:
    """Rent no second machine beside one that does this run's work, known or not."""
    problem = (
        f"{machine.id} on {lease.provider} was rented for this run, and this home does not know "
        "it: it is an older copy of itself"
    )
    hint = (
        "gpulease machines shows it; it ends itself at its deadline, or by gpulease reap --delete"
    )
    run = run.with_lease(nothing_rented(lease, "an unknown machine of this run lives"))
    failure = Failure("home", problem, hint, 7)
    return finish(run, world, Outcome.REFUSED, failure, problem)
