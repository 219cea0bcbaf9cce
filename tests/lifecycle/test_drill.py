from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.lifecycle.drill import (
    GOOD_S,
    drill_cap_usd,
    drill_job,
    drill_material,
    drilled_accounts,
    with_cap,
)
from orchestrator.lifecycle.plan import make_plan
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import FREE, GUARDED
from tests.runs.samples import NOW_S, launch, lease, offer, run


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def record(journal: Journal, *, drill: bool = True, by: str = "machine", **changes: object) -> None:
    made = lease(state=LeaseState.CLOSED, machine_id="m1", gone_s=NOW_S, returned_by=by)
    ran = run(state=State.ENDED, outcome=Outcome.SUCCEEDED, leases=(made,), name="drill-runpod")
    ran = replace(ran, launch=replace(launch(), drill=drill), **changes)  # type: ignore[arg-type]
    journal.add(ran, [], lambda _: None, 0.0)


def drilled(journal: Journal, *, identity: str = "user:u1", now_s: float = NOW_S) -> set[str]:
    return set(drilled_accounts(journal, lambda _: identity, ["runpod", "elsewhere"], now_s))


def test_a_machine_that_ended_itself_counts_for_90_days(journal: Journal) -> None:
    record(journal)

    assert drilled(journal, now_s=NOW_S + GOOD_S - 1) == {"runpod"}
    assert drilled(journal, now_s=NOW_S + GOOD_S + 1) == set()


def test_another_accounts_drill_counts_for_nothing(journal: Journal) -> None:
    record(journal)

    assert drilled(journal, identity="user:u2") == set()


@pytest.mark.parametrize(
    "changes",
    [{"by": "provider"}, {"outcome": Outcome.FAILED}, {"drill": False}, {"name": "another"}],
)
def test_what_is_no_drill_that_succeeded_counts_for_nothing(
    journal: Journal, changes: dict[str, object]
) -> None:
    record(journal, **changes)  # type: ignore[arg-type]

    assert drilled(journal) == set()


def test_a_drill_costs_cents_and_has_a_cap_that_also_pays_for_a_guard_that_fails(
    tmp_path: Path,
) -> None:
    cap_usd = drill_cap_usd(offer(usd_per_hour="0.17"), GUARDED)
    job = with_cap(drill_job("runpod", tmp_path), cap_usd)
    cheap = offer(usd_per_hour="0.17")

    made = make_plan(
        drill_material(job, "runpod", GUARDED),
        [offer("dear", usd_per_hour="0.60"), cheap],
        {"runpod": GUARDED},
        now_s=NOW_S,
        failures=[],
    )

    assert cap_usd == Decimal("0.10")
    assert made.candidates[0].offer is cheap
    assert made.candidates[0].deadline_s == 240
    assert not made.candidates[0].capped


def test_where_machines_have_no_guard_there_is_none_to_be_tried(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no guard that a drill could try"):
        drill_material(drill_job("local", tmp_path), "local", FREE)
