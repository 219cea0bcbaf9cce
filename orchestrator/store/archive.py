"""A store in which nothing is open, read without SQLAlchemy, which takes long to load.

So `ps` and `show` take a third of the CPU. The goal, 4 times that of `--help`, is missed: typer and
rich are most of what is left. A test compares both readers.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.store.documents import SCHEMA, to_lease, to_run

_PATIENCE_S = 5.0
_ENTRY = "SELECT at_s, run_id, kind, usd, label, note FROM ledger"


class Archive:
    """What `Journal` reads, of a file that only has runs that are over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(self, run_id: str) -> Run:
        """KeyError when unknown."""
        found = self._load("WHERE id = ?", (run_id,))
        if not found:
            raise KeyError(run_id)
        return found[0]

    def runs(self, *, limit: int = 1000) -> list[Run]:
        """The newest first."""
        return self._load("ORDER BY created_s DESC LIMIT ?", (limit,))

    def open_ids(self) -> list[str]:
        return [str(row[0]) for row in self._rows("SELECT id FROM runs WHERE is_open")]

    def find_ids(self, reference: str) -> list[str]:
        """As `Journal.find_ids`."""
        query = (
            "SELECT id FROM runs WHERE lower(substr(id, 1, length(?1))) = lower(?1) OR name = ?1 "
            "ORDER BY created_s DESC"
        )
        return [str(row[0]) for row in self._rows(query, (reference,))]

    def entries(self, *, since_s: float = 0.0) -> list[Entry]:
        """Ledger entries in order."""
        rows = self._rows(f"{_ENTRY} WHERE at_s >= ? ORDER BY id", (since_s,))
        return [
            Entry(at_s, run_id, EntryKind(kind), Decimal(usd), label, note)
            for at_s, run_id, kind, usd, label, note in rows
        ]

    def is_current(self) -> bool:
        """Whether this version wrote it, and nothing in it is open."""
        (found,) = self._rows("SELECT version_num FROM alembic_version")
        return found == (SCHEMA,) and not self.open_ids()

    def _load(self, where: str, values: tuple[object, ...]) -> list[Run]:
        rows = self._rows(f"SELECT id, document, version, wish FROM runs {where}", values)
        leases: dict[str, list[Lease]] = defaultdict(list)
        query = "SELECT run_id, document, version FROM leases"
        one = " WHERE run_id = ?" if len(rows) == 1 else ""
        wanted = {row[0] for row in rows}
        for run_id, document, version in self._rows(
            f"{query}{one} ORDER BY run_id, position", tuple(wanted) if one else ()
        ):
            if run_id in wanted:
                leases[run_id].append(to_lease(document, version))
        return [
            to_run(document, version, wish, leases[run_id])
            for run_id, document, version, wish in rows
        ]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        address = f"{self._path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, _PATIENCE_S, uri=True)) as connection:
            return connection.execute(query, values).fetchall()


def archive_at(url: str) -> Archive | None:
    """The store at this URL, where it can be looked at like this; else it takes a Journal."""
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.is_file():
        return None
    archive = Archive(path.resolve())
    try:
        return archive if archive.is_current() else None
    except (sqlite3.Error, ValueError):
        return None
