"""What a month has cost: by day, by run, and line by line."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from orchestrator.budget.ledger import Entry, EntryKind, accrued_usd, committed_usd
from orchestrator.budget.month import Month
from orchestrator.clock import to_iso
from orchestrator.lifecycle.views import dollars
from orchestrator.runs.run import Run
from orchestrator.runs.view import LedgerLineView, LedgerRunView, LedgerView
from orchestrator.store.journal import Journal

_SPENT = (EntryKind.ACCRUED, EntryKind.CORRECTED)


def month_statement(
    journal: Journal, month: Month, *, limit_usd: Decimal, now_s: float
) -> LedgerView:
    """Spent by the upper figure. A machine counts in the month in which its return was proven;
    what has not come back yet is `open_usd`, inside what is committed."""
    entries = journal.entries()
    spent = _of_month(entries, month)
    open_runs = [run for run in journal.runs(only_open=True) if run.created_s < month.end_s]
    in_month = month.start_s <= now_s < month.end_s
    ids = dict.fromkeys(entry.run_id for entry in spent)
    runs = [_run_line(journal.run(run_id), _usd_of(spent, run_id), now_s) for run_id in ids]
    open_usd = sum((_open_usd(run, now_s) for run in open_runs), Decimal(0))
    return {
        "schema": 1,
        "month": str(month),
        "spent_usd": dollars(accrued_usd(spent)),
        "open_usd": dollars(open_usd if in_month else Decimal(0)),
        "committed_usd": dollars(committed_usd(entries)),
        "limit_usd": dollars(limit_usd),
        "days": _days(spent),
        "runs": runs,
        "open_runs": [run.id for run in open_runs] if in_month else [],
    }


def month_lines(journal: Journal, month: Month) -> list[LedgerLineView]:
    """Every entry of a month, oldest first, as the ledger keeps it."""
    names = {run.id: run.name for run in journal.runs(limit=100_000)}
    return [
        {
            "at": to_iso(entry.at_s),
            "run": entry.run_id,
            "name": names.get(entry.run_id, ""),
            "kind": str(entry.kind),
            "usd": dollars(entry.usd),
            "label": entry.label,
            "note": entry.note,
        }
        for entry in journal.entries(since_s=month.start_s)
        if entry.at_s < month.end_s
    ]


def _of_month(entries: Iterable[Entry], month: Month) -> list[Entry]:
    return [
        entry
        for entry in entries
        if entry.kind in _SPENT and month.start_s <= entry.at_s < month.end_s
    ]


def _days(spent: Iterable[Entry]) -> list[tuple[str, str]]:
    by_day: dict[str, Decimal] = {}
    for entry in spent:
        day = to_iso(entry.at_s)[:10]
        by_day[day] = by_day.get(day, Decimal(0)) + entry.usd
    return [(day, dollars(usd)) for day, usd in sorted(by_day.items())]


def _usd_of(spent: Iterable[Entry], run_id: str) -> Decimal:
    return sum((entry.usd for entry in spent if entry.run_id == run_id), Decimal(0))


def _open_usd(run: Run, now_s: float) -> Decimal:
    return sum((one.upper_usd(now_s) for one in run.leases if one.is_open), Decimal(0))


def _run_line(run: Run, spent_usd: Decimal, now_s: float) -> LedgerRunView:
    rented = [lease for lease in run.leases if lease.has_machine]
    last = rented[-1] if rented else None
    return {
        "run": run.id,
        "name": run.name,
        "outcome": str(run.outcome) if run.outcome else None,
        "provider": last.provider if last else "",
        "gpu": last.offer.gpu if last else "",
        "machines": len(rented),
        "spent_upper_usd": dollars(spent_usd),
        "cost_usd": dollars(sum((one.cost_usd(now_s) for one in rented), Decimal(0))),
        "created_at": to_iso(run.created_s),
    }
