from __future__ import annotations

import io
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Float, Integer, Text, text

from orchestrator.errors import HomeError
from orchestrator.store.journal import Journal
from orchestrator.store.schema import _MIGRATIONS, SCHEMA, open_engine
from orchestrator.store.tables import metadata
from tests.runs.samples import run


def set_schema(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def test_the_migrations_make_exactly_the_tables_of_this_version(url: str) -> None:
    engine = open_engine(url)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_migrations_are_sql_that_postgresql_takes() -> None:
    """Each one is written for that dialect: a type or an option that it lacks would raise."""
    said = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said}
    )
    steps = ScriptDirectory(str(_MIGRATIONS)).walk_revisions()

    with Operations.context(context):
        for step in reversed(list(steps)):
            step.module.upgrade()

    sql = said.getvalue()
    for table in metadata.sorted_tables:
        assert f"CREATE TABLE {table.name} (" in sql
        assert {type(column.type) for column in table.columns} <= {Text, Integer, Float, Boolean}
    assert not re.search(r"PRAGMA|AUTOINCREMENT|WITHOUT ROWID|DATETIME|BLOB|\"", sql)


def test_every_connection_is_durable_and_waits_for_others(url: str) -> None:
    engine = open_engine(url)

    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()

    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_an_older_version_refuses_a_newer_home_and_leaves_it_alone(
    url: str, tmp_path: Path
) -> None:
    open_engine(url).dispose()
    set_schema(tmp_path / "gpulease.db", "9999")

    with pytest.raises(HomeError, match="newer gpulease") as caught:
        open_engine(url)

    assert "upgrade" in caught.value.hint
    set_schema(tmp_path / "gpulease.db", SCHEMA)
    open_engine(url).dispose()


def test_a_home_that_exists_is_opened_with_what_is_in_it(url: str) -> None:
    first = Journal(url)
    first.add(run(), [], lambda _: None, 0)
    first.close()

    again = Journal(url)

    assert again.run(run().id) == run()
    again.close()


def test_several_that_open_a_new_home_at_once_all_succeed(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(lambda _: open_engine(url), range(4)))

    for engine in engines:
        with engine.connect() as connection:
            revisions = connection.execute(text("SELECT version_num FROM alembic_version")).all()
        engine.dispose()
        assert [tuple(row) for row in revisions] == [(SCHEMA,)]


def test_a_file_that_is_no_store_is_not_overwritten(url: str, tmp_path: Path) -> None:
    (tmp_path / "gpulease.db").write_text("my notes, long enough to be no database at all\n" * 30)
    before = (tmp_path / "gpulease.db").read_bytes()

    with pytest.raises(HomeError, match="cannot be opened"):
        open_engine(url)

    assert (tmp_path / "gpulease.db").read_bytes() == before
