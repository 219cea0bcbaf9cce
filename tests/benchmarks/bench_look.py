"""What looking costs with a thousand finished runs in the store, beside `gpulease --help`.

The goal was 4×. What is left is the import of typer (which takes pydantic for the arguments of a
command) and rich, not the store: with no run in it `ps` costs the same.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.home import open_home
from orchestrator.store.journal import Journal
from tests.benchmarks.ratio import Row, compare, cpu_ms
from tests.runs.samples import NOW_S, lease, run

RUNS = 1000
LIMIT = 25


def rows() -> Iterator[Row]:
    program = str(Path(sys.executable).with_name("gpulease"))
    with tempfile.TemporaryDirectory(prefix="gl-bench-") as place:
        home = Path(place, "home")
        fill(home)
        config = Path(place, "config.toml")
        config.touch(mode=0o600)
        os.environ.update(GPULEASE_HOME=str(home), GPULEASE_CONFIG=str(config))
        for words in (["ps"], ["show", "last"]):
            command = [program, *words]
            ours, bare = compare(
                lambda command=command: cpu_ms(command),  # type: ignore[misc]
                lambda: cpu_ms([program, "--help"]),
            )
            what = f"CPU of `gpulease {' '.join(words)}`, {RUNS:,} finished runs"
            yield Row(what, ours, bare, "ms", LIMIT, "`--help`")


def fill(home: Path) -> None:
    """A home whose runs are over, each with a machine and its ledger entries."""
    open_home(home)
    journal = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    for number in range(RUNS):
        made = ended(number)
        figures = {EntryKind.COMMITTED: "1.00", EntryKind.ACCRUED: "0.20", EntryKind.RELEASED: "1"}
        entries = [
            Entry(made.created_s, made.id, kind, Decimal(usd), made.leases[0].key)
            for kind, usd in figures.items()
        ]
        journal.add(made, entries, lambda _: None, 0.0)
    journal.close()


def ended(number: int) -> Run:
    run_id, key = f"r{number:07d}", f"l{number}"
    began_s = NOW_S - 600.0 * number
    back = lease(key, state=LeaseState.CLOSED, machine_id=f"m{number}", sent_s=began_s)
    back = replace(back, run_id=run_id, began_s=began_s, gone_s=began_s + 500)
    made = run(run_id, state=State.ENDED, outcome=Outcome.SUCCEEDED, created_s=began_s)
    return replace(made, leases=(back,))
