"""What stands in a home's store, read beside the processes that write it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Stored:
    """One look at the home's newest run."""

    ids: tuple[str, ...] = ()  # of every run, the oldest first
    state: str = ""
    is_open: bool = False
    wish: str = ""
    document: dict[str, Any] | None = None
    leases: tuple[dict[str, Any], ...] = ()

    @property
    def runs(self) -> int:
        return len(self.ids)

    @property
    def is_over(self) -> bool:
        return self.runs > 0 and not self.is_open


def look(home: Path) -> Stored:
    """The newest run as it stands; nothing at all while there is no store or no run in it."""
    try:
        with closing(_open(home)) as store:
            rows = store.execute(
                "SELECT id, state, is_open, wish, document FROM runs ORDER BY created_s"
            ).fetchall()
            leases = store.execute("SELECT document FROM leases ORDER BY position").fetchall()
    except sqlite3.Error:
        return Stored()
    if not rows:
        return Stored()
    ids = tuple(row[0] for row in rows)
    _, state, is_open, wish, document = rows[-1]
    documents = tuple(json.loads(row[0]) for row in leases)
    return Stored(ids, state, bool(is_open), wish, json.loads(document), documents)


def events(home: Path) -> str:
    """What happened to the home's runs, a line each."""
    with closing(_open(home)) as store:
        return "\n".join(text for (text,) in store.execute("SELECT text FROM events ORDER BY id"))


def ledger_usd(home: Path) -> dict[str, Decimal]:
    """The sum of each kind of entry: committed, accrued, released."""
    sums: dict[str, Decimal] = {}
    with closing(_open(home)) as store:
        for kind, usd in store.execute("SELECT kind, usd FROM ledger"):
            sums[kind] = sums.get(kind, Decimal(0)) + Decimal(usd)
    return sums


def _open(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{home / 'gpulease.sqlite'}?mode=ro", uri=True, timeout=10)
