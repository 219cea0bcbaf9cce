"""What looking costs with a thousand finished runs in the store, beside `gpulease --help`.

The goal was 4×. What is left is the import of typer (which takes pydantic for the arguments of a
command) and rich, not the store: with no run in it `ps` costs the same.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
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
# The first run's rows once more, under another id and older.
COPIES = (
    "INSERT INTO runs SELECT :new, :new, state, is_open, wish, version, created_s - :number, "
    "replace(document, :old, :new) FROM runs WHERE id = :old",
    "INSERT INTO leases SELECT key || :new, label, :new, provider, state, version, position, "
    "watch_until_s, replace(document, :old, :new) FROM leases WHERE run_id = :old",
    "INSERT INTO ledger (at_s, run_id, kind, usd, label, note) "
    "SELECT at_s, :new, kind, usd, label, note FROM ledger WHERE run_id = :old",
)


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
    store = home / "gpulease.sqlite"
    journal = Journal(f"sqlite:///{store}")
    first = ended()
    figures = {EntryKind.COMMITTED: "1.00", EntryKind.ACCRUED: "0.20", EntryKind.RELEASED: "1.00"}
    entries = [
        Entry(first.created_s, first.id, kind, Decimal(usd), first.leases[0].key)
        for kind, usd in figures.items()
    ]
    journal.add(first, entries, lambda _: None, 0.0)
    journal.close()
    with closing(sqlite3.connect(store)) as connection, connection:
        for number in range(1, RUNS):
            values = {"old": first.id, "new": f"r{number:07d}", "number": number}
            for copy in COPIES:
                connection.execute(copy, values)


def ended() -> Run:
    back = lease("l0", state=LeaseState.CLOSED, machine_id="m0", sent_s=NOW_S)
    back = replace(back, run_id="r0000000", began_s=NOW_S, gone_s=NOW_S + 500)
    made = run("r0000000", state=State.ENDED, outcome=Outcome.SUCCEEDED, created_s=NOW_S)
    return replace(made, leases=(back,))
