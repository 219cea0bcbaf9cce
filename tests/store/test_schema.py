from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Float, Integer, Text, text

from orchestrator.errors import HomeError
from orchestrator.runs.states import Wish
from orchestrator.store.journal import Journal
from orchestrator.store.schema import _MIGRATIONS, SCHEMA, open_engine, rehearse
from orchestrator.store.tables import metadata
from tests.runs.samples import run


def set_schema(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ("postgresql://ada:secret-of-it@db/gpulease", "postgresql is not supported"),
        ("postgresql+psycopg://ada:secret-of-it@db/gpulease", "postgresql is not supported"),
        ("secret-of-it", "is no database URL"),
    ],
)
def test_a_store_that_is_no_sqlite_file_is_refused(other: str, problem: str) -> None:
    for opens in (open_engine, rehearse):
        with pytest.raises(HomeError, match=problem) as caught:
            opens(other)

        assert "GPULEASE_DATABASE_URL" in caught.value.hint
        assert "secret-of-it" not in f"{caught.value} {caught.value.__cause__}"


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


@contextmanager
def refuse(_is_done: Callable[[], bool]) -> Iterator[None]:
    raise HomeError("a driver is busy")
    yield


def to_first_schema(path: Path) -> None:
    """A store as the first schema left it, with one run in it."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TABLE outbox")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()


@pytest.fixture
def old(url: str, tmp_path: Path) -> Path:
    journal = Journal(url)
    journal.add(run(), [], lambda _: None, 0)
    journal.close()
    to_first_schema(tmp_path / "gpulease.db")
    return tmp_path / "gpulease.db"


def revision(path: Path) -> str:
    connection = sqlite3.connect(path)
    (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    return str(found)


def test_an_older_store_is_migrated_in_its_moment_and_a_copy_is_kept(old: Path, url: str) -> None:
    moments: list[str] = []

    @contextmanager
    def hold(is_done: Callable[[], bool]) -> Iterator[None]:
        assert not is_done()
        moments.append(revision(old))
        yield
        moments.append(revision(old))

    journal = Journal(url, hold)

    assert moments == ["0001", SCHEMA]
    assert journal.run(run().id) == run()
    journal.close()
    copy = old.with_name(f"{old.name}.schema-0001")
    assert revision(copy) == "0001" and copy.stat().st_mode & 0o777 == 0o600


def test_without_its_moment_an_older_store_stays_as_it_is(old: Path, url: str) -> None:
    with pytest.raises(HomeError, match="busy"):
        open_engine(url, refuse)

    assert revision(old) == "0001"
    assert list(old.parent.glob("*schema-*")) == []


def test_what_somebody_else_migrated_meanwhile_is_not_migrated_again(old: Path, url: str) -> None:
    @contextmanager
    def hold(is_done: Callable[[], bool]) -> Iterator[None]:
        open_engine(url).dispose()
        old.with_name(f"{old.name}.schema-0001").unlink()
        assert is_done()
        yield

    open_engine(url, hold).dispose()

    assert list(old.parent.glob("*schema-*")) == []


def test_a_rehearsal_leaves_nothing_behind(old: Path, url: str) -> None:
    before = sorted(old.parent.iterdir())

    rehearse(url)

    assert revision(old) == "0001"
    assert {path.name for path in old.parent.iterdir()} - {path.name for path in before} <= {
        f"{old.name}-wal",
        f"{old.name}-shm",
    }


def test_a_migration_that_would_fail_is_found_by_its_rehearsal(old: Path, url: str) -> None:
    connection = sqlite3.connect(old)
    with connection:
        connection.execute("CREATE TABLE outbox (mine TEXT)")  # somebody has been at it
    connection.close()

    with pytest.raises(HomeError, match="could not be brought to this version") as caught:
        rehearse(url)
    assert "nothing was changed" in caught.value.hint
    with pytest.raises(HomeError, match="could not be brought to this version"):
        open_engine(url)

    assert revision(old) == "0001"
    assert [path.name for path in old.parent.glob("*rehearsal*")] == []


def test_whoever_opened_a_store_before_it_was_migrated_neither_reads_nor_writes_it(
    url: str, tmp_path: Path
) -> None:
    journal = Journal(url)
    journal.add(run(), [], lambda _: None, 0)
    set_schema(tmp_path / "gpulease.db", "9999")

    with pytest.raises(HomeError, match="newer gpulease"):
        journal.open_ids()
    with pytest.raises(HomeError, match="newer gpulease"):
        journal.wish(run().id, Wish.CANCEL)

    set_schema(tmp_path / "gpulease.db", SCHEMA)
    assert journal.run(run().id).wish is Wish.GO_ON
    journal.close()
