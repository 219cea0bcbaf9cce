"""A submit on a machine that an earlier run keeps."""

from __future__ import annotations

from orchestrator.errors import StaleRun, UsageError
from orchestrator.lifecycle.finding import find_run, open_run
from orchestrator.lifecycle.plan import Material, Plan
from orchestrator.lifecycle.reusing import kept_lease, reuse_plan, take_over
from orchestrator.lifecycle.snapshot import keep_code
from orchestrator.lifecycle.submitting import new_run_id
from orchestrator.remote.keys import copy_key_pair
from orchestrator.runs.run import Run
from orchestrator.spec.job import Job
from orchestrator.store.home import run_folder
from orchestrator.wiring import Parts


def keeper(parts: Parts, reference: str) -> Run:
    """The run whose kept machine is meant. Raises: UsageError when it has none."""
    run = parts.journal.run(find_run(parts.journal, reference, for_change=False))
    kept_lease(run, parts.clock.now_s())
    return run


def plan_on_kept(parts: Parts, material: Material, reference: str) -> Plan:
    """What a job would do on a kept machine. Raises: UsageError, NoOffer, BudgetRefused."""
    run = keeper(parts, reference)
    assert run.lease is not None
    capabilities = parts.accounts.provider(run.lease.provider).capabilities
    return reuse_plan(material, run, capabilities, parts.clock.now_s())


def submit_on_kept(parts: Parts, job: Job, plan: Plan, reference: str) -> str:
    """Record the run that goes on with a kept machine; its id.

    Raises: UsageError when the machine is no longer to be had, or an open run has the job's name.
    """
    run, home = keeper(parts, reference), parts.home.folder
    if (other := open_run(parts.journal, job.name)) not in (None, run.id):
        raise UsageError(f"run {other} is open under the name {job.name}", hint="--again, or wait")
    run_id = new_run_id()
    earlier, private = run_folder(home, run.id), parts.settings.private
    keep_code(run_folder(home, run_id), job, like=earlier, private=private)
    copy_key_pair(run_folder(home, run.id) / "keys", run_folder(home, run_id) / "keys")
    after, taker, entries = take_over(run, plan, run_id, parts.clock.now_s())
    try:
        parts.engine.hand_over(run, after, taker, entries)
    except StaleRun as error:
        raise UsageError(
            f"the kept machine of {run.name} went back or was taken meanwhile",
            hint="submit without --reuse rents another machine",
        ) from error
    return run_id
