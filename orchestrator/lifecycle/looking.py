"""What `ps` and `show` say where nothing is open: no driver is needed, and little is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestrator.budget.ledger import accrued_usd, committed_usd
from orchestrator.budget.month import month_of
from orchestrator.clock import Clock
from orchestrator.lifecycle.finding import find_run
from orchestrator.lifecycle.views import to_run_view
from orchestrator.runs.run import Run
from orchestrator.runs.view import RunView
from orchestrator.store.archive import Archive
from orchestrator.store.home import run_folder


@dataclass(frozen=True, slots=True)
class Look:
    """The same answers as the App's, of a store in which nothing is open."""

    archive: Archive
    home: Path
    clock: Clock

    def runs(self, *, all_runs: bool) -> list[RunView]:
        return [self._view(run) for run in self.archive.runs()] if all_runs else []

    def view(self, reference: str) -> RunView:
        """Raises: UsageError as `find_run`."""
        return self._view(self.archive.run(find_run(self.archive, reference, for_change=False)))

    def month_usd(self, limit_usd: Decimal) -> tuple[Decimal, Decimal, Decimal]:
        """Spent this month, committed now, limit."""
        entries = self.archive.entries()
        start_s = month_of(self.clock.now_s()).start_s
        spent_usd = accrued_usd(entry for entry in entries if entry.at_s >= start_s)
        return spent_usd, committed_usd(entries), limit_usd

    def _view(self, run: Run) -> RunView:
        folder = run_folder(self.home, run.id)
        return to_run_view(
            run,
            self.clock.now_s(),
            log_path=str(folder / "log.txt"),
            artifacts_dir=str(folder / "artifacts"),
        )
