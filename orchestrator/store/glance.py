"""Names of runs for the Tab key: read without waiting, and by the standard library alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_MOST = 200
_PATIENCE_S = 0.2


class Glanced(NamedTuple):
    """As much of a run as helps to choose it."""

    id: str
    name: str
    state: str
    is_open: bool


def glance(home: Path) -> list[Glanced]:
    """The newest runs of a home whose store is its own file; none where it cannot be read."""
    file = home / "gpulease.sqlite"
    query = "SELECT id, name, state, is_open FROM runs ORDER BY created_s DESC LIMIT ?"
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)
        with closing(connection):
            rows = connection.execute(query, (_MOST,)).fetchall()
    except (sqlite3.Error, ValueError):
        return []
    return [
        Glanced(str(id_), str(name), str(state), bool(open_)) for id_, name, state, open_ in rows
    ]
