from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.budget.month import Month, month_of
from orchestrator.lifecycle.statement import month_lines, month_statement
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.runs.view import LedgerView
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, RUN_ID, lease, run

LAST_MONTH_S = month_of(NOW_S).start_s - 60.0


def entry(kind: EntryKind, usd: str, at_s: float = NOW_S, run_id: str = RUN_ID) -> Entry:
    return Entry(at_s, run_id, kind, Decimal(usd))


def statement(journal: Journal, month: Month | None = None) -> LedgerView:
    month = month or month_of(NOW_S)
    return month_statement(journal, month, limit_usd=Decimal(100), now_s=NOW_S + 3600)


def add_ended(journal: Journal) -> None:
    gone = lease(
        state=LeaseState.CLOSED,
        machine_id="m1",
        sent_s=NOW_S,
        began_s=NOW_S,
        delete_accepted_s=NOW_S + 3600,
        gone_s=NOW_S + 3610,
    )
    made = run(state=State.ENDED, outcome=Outcome.SUCCEEDED, leases=(gone,))
    entries = [
        entry(EntryKind.ACCRUED, "0.20", LAST_MONTH_S),
        entry(EntryKind.COMMITTED, "2.00"),
        entry(EntryKind.ACCRUED, "0.60", NOW_S + 1),
        entry(EntryKind.RELEASED, "2.00", NOW_S + 1),
    ]
    journal.add(made, entries, lambda _: None, 0.0)


def test_a_month_holds_what_was_proven_gone_in_it(journal: Journal) -> None:
    add_ended(journal)

    shown = statement(journal)

    assert (shown["spent_usd"], shown["committed_usd"]) == ("0.60", "0.00")
    assert shown["days"] == [("2027-01-15", "0.60")]
    (line,) = shown["runs"]
    assert (line["run"], line["outcome"], line["machines"]) == (RUN_ID, "succeeded", 1)
    assert (line["spent_upper_usd"], line["cost_usd"]) == ("0.60", "0.60")
    assert statement(journal, Month(2026, 12))["spent_usd"] == "0.20"
    assert statement(journal, Month(2026, 11))["runs"] == []


def test_open_machines_are_told_beside_what_is_spent(journal: Journal) -> None:
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S, began_s=NOW_S)
    made = run(state=State.RUNNING, leases=(replace(held, usd_per_hour=Decimal("0.60")),))
    journal.add(made, [entry(EntryKind.COMMITTED, "2.00")], lambda _: None, 0.0)

    shown = statement(journal)

    assert (shown["spent_usd"], shown["open_usd"]) == ("0.00", "0.60")
    assert (shown["committed_usd"], shown["open_runs"]) == ("2.00", [RUN_ID])
    assert statement(journal, Month(2026, 12))["open_usd"] == "0.00"


def test_lines_are_the_months_entries_in_order(journal: Journal) -> None:
    add_ended(journal)

    lines = month_lines(journal, month_of(NOW_S))

    assert [(line["kind"], line["usd"]) for line in lines] == [
        ("committed", "2.00"),
        ("accrued", "0.60"),
        ("released", "2.00"),
    ]
    assert {line["name"] for line in lines} == {run().name}
