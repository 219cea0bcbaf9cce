"""A plan becomes a run: run, lease with its label, and commitment in one transaction."""

from __future__ import annotations

import secrets
from decimal import Decimal

from orchestrator.budget.ledger import Entry, EntryKind, Limits, Standing, check_limits, check_month
from orchestrator.budget.month import month_of
from orchestrator.lifecycle.leasing import new_lease
from orchestrator.lifecycle.plan import Plan
from orchestrator.providers.base import Capabilities
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import State
from orchestrator.spec.job import job_hash
from orchestrator.store.journal import Journal

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_run_id() -> str:
    """Eight base36 digits."""
    return "".join(secrets.choice(_DIGITS) for _ in range(8))


def record(
    journal: Journal,
    plan: Plan,
    *,
    run_id: str,
    home_id: str,
    capabilities: Capabilities | None,
    cap_usd: Decimal,
    limits: Limits,
    now_s: float,
) -> Run:
    """Write the run down; from here the process may die at any line.

    A run that waits has no lease yet where no offer fits; its cap is committed all the same.

    Args:
        capabilities: of the provider whose offer is the first; None without an offer.

    Raises: BudgetRefused when a limit of the config file says no; StaleRun when an open run has
    this name already.
    """
    lease = None
    if plan.candidates:
        assert capabilities is not None, "whoever has an offer says what he can"
        lease = new_lease(
            home_id=home_id,
            run_id=run_id,
            n=0,
            candidate=plan.candidates[0],
            account="",
            capabilities=capabilities,
            launch=plan.material.launch,
            cap_usd=cap_usd,
            max_duration_s=plan.material.job.budget.max_duration_s,
            spent_usd=Decimal(0),
            now_s=now_s,
        )
    run = _to_run(plan, run_id, lease, cap_usd, now_s)
    prices = (one.offer.price.usd_per_hour for one in plan.candidates)  # all may come to be tried
    may_bill = plan.order is not None or any(usd_per_hour > 0 for usd_per_hour in prices)
    worst_usd = cap_usd if may_bill else Decimal(0)
    label = lease.label if lease is not None else ""
    entries = [Entry(now_s, run_id, EntryKind.COMMITTED, worst_usd, label)]

    def check(standing: Standing) -> None:
        if lease is not None and lease.bills:
            rate = lease.offer.price.usd_per_hour
            check_limits(limits, standing, worst_usd=worst_usd, usd_per_hour=rate)
        elif may_bill:
            check_month(limits, standing, worst_usd)

    return journal.add(run, entries if worst_usd else [], check, month_of(now_s).start_s)


def _to_run(plan: Plan, run_id: str, lease: Lease | None, cap_usd: Decimal, now_s: float) -> Run:
    job = plan.material.job
    return Run(
        id=run_id,
        name=job.name,
        kind="drill" if plan.material.launch.drill else job.kind,
        job=job.to_document(),
        job_hash=job_hash(job),
        launch=plan.material.launch,
        candidates=plan.candidates,
        cap_usd=cap_usd,
        max_duration_s=job.budget.max_duration_s,
        created_s=now_s,
        start_by_s=plan.start_by_s,
        state_since_s=now_s,
        state=State.PLANNED,
        leases=(lease,) if lease is not None else (),
        order=plan.order,
        asked_s=now_s,
        notes=tuple(plan.warnings),
    )
