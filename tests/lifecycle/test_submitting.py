from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import EntryKind, Limits, committed_usd
from orchestrator.errors import BudgetRefused, StaleRun
from orchestrator.lifecycle.plan import Plan, make_plan, to_wait
from orchestrator.lifecycle.submitting import new_run_id, record
from orchestrator.providers.base import Capabilities
from orchestrator.runs.label import parse_label
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State
from orchestrator.spec.job import job_from_document
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import FREE, GUARDED
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, offer

CAP_USD = Decimal("2.00")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = material(own_code(tmp_path), warnings=("a warning",))
    return make_plan(made, [offer()], {"runpod": GUARDED}, now_s=NOW_S, failures=[])


def submit(
    journal: Journal,
    plan: Plan,
    run_id: str = "runid123",
    *,
    name: str = "",
    limits: Limits | None = None,
    capabilities: Capabilities | None = GUARDED,
) -> Run:
    if name:
        job = plan.material.job.model_copy(update={"name": name})
        plan = replace(plan, material=replace(plan.material, job=job))
    return record(
        journal,
        plan,
        run_id=run_id,
        home_id="homeid",
        capabilities=capabilities,
        cap_usd=CAP_USD,
        limits=limits or Limits(),
        now_s=NOW_S,
    )


def test_run_lease_and_commitment_are_written_together(journal: Journal, plan: Plan) -> None:
    submit(journal, plan)

    run = journal.run("runid123")
    [lease] = run.leases
    [entry] = journal.entries()
    label = parse_label(lease.label)
    assert (run.state, lease.state, run.notes) == (
        State.PLANNED,
        LeaseState.INTENDED,
        ("a warning",),
    )
    assert (entry.kind, entry.usd, entry.label) == (EntryKind.COMMITTED, CAP_USD, lease.label)
    assert label is not None
    assert (label.home, label.run, label.deadline_s) == ("homeid", run.id, lease.deadline_s)
    assert NOW_S < lease.stop_s < lease.deadline_s
    assert job_from_document(run.job) == plan.material.job


def test_the_months_limit_refuses_and_nothing_is_written(journal: Journal, plan: Plan) -> None:
    limits = Limits(month_usd=Decimal("3.00"))
    submit(journal, plan, "runid001", name="first", limits=limits)

    with pytest.raises(BudgetRefused, match=r"pass the limit of \$3.00 a month"):
        submit(journal, plan, "runid002", name="second", limits=limits)

    assert [run.id for run in journal.runs()] == ["runid001"]
    assert len(journal.leases()) == 1
    assert committed_usd(journal.entries()) == CAP_USD


@pytest.mark.parametrize("limits", [Limits(machines=1), Limits(burn_usd_per_hour=Decimal(1))])
def test_machines_and_burn_rate_are_limited_too(
    journal: Journal, plan: Plan, limits: Limits
) -> None:
    submit(journal, plan, "runid001", name="first", limits=limits)

    with pytest.raises(BudgetRefused):
        submit(journal, plan, "runid002", name="second", limits=limits)


def test_a_machine_that_costs_nothing_commits_nothing_and_passes_every_limit(
    journal: Journal, plan: Plan
) -> None:
    own = replace(plan.candidates[0], offer=offer(usd_per_hour="0"))
    plan = replace(plan, candidates=(own,))

    submit(journal, plan, limits=Limits(Decimal(0), 0, Decimal(0)), capabilities=FREE)

    assert journal.entries() == []
    assert not journal.run("runid123").leases[0].bills


def test_where_a_rented_machine_may_follow_a_free_one_the_cap_is_committed_all_the_same(
    journal: Journal, plan: Plan
) -> None:
    (rented,) = plan.candidates
    free = replace(rented, offer=replace(offer(usd_per_hour="0"), provider="local"))
    both = replace(plan, candidates=(free, rented))

    submit(journal, both, capabilities=FREE)

    assert committed_usd(journal.entries()) == CAP_USD
    with pytest.raises(BudgetRefused, match="a month"):
        submit(journal, both, "runid456", name="second", capabilities=FREE,
               limits=Limits(month_usd=CAP_USD))  # fmt: skip


def test_an_open_run_of_the_same_name_is_not_submitted_twice(journal: Journal, plan: Plan) -> None:
    submit(journal, plan, "runid001")

    with pytest.raises(StaleRun, match="runid001"):
        submit(journal, plan, "runid002")

    assert len(journal.entries()) == 1


def test_run_ids_are_eight_base36_digits() -> None:
    made = {new_run_id() for _ in range(50)}

    assert len(made) == 50
    assert all(re.fullmatch("[0-9a-z]{8}", one) for one in made)


def test_a_run_that_waits_commits_its_cap_and_has_no_lease_yet(
    journal: Journal, tmp_path: Path
) -> None:
    empty = make_plan(material(own_code(tmp_path)), [], {}, now_s=NOW_S, failures=[], may_wait=True)
    plan = to_wait(empty, ["runpod"], 7200.0)

    with pytest.raises(BudgetRefused, match="a month"):
        submit(journal, plan, limits=Limits(month_usd=Decimal(1)), capabilities=None)
    submit(journal, plan, limits=Limits(machines=0), capabilities=None)

    run = journal.run("runid123")
    assert (run.state, run.leases, run.start_by_s) == (State.PLANNED, (), NOW_S + 7200)
    assert run.order == plan.order
    assert committed_usd(journal.entries()) == CAP_USD
