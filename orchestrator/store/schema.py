"""Opening a store: its engine, and its schema brought to this version."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.errors import HomeError
from orchestrator.store.documents import SCHEMA as SCHEMA

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = text("SELECT version_num FROM alembic_version")


Hold = Callable[[Callable[[], bool]], AbstractContextManager[None]]


def at_once(_is_done: Callable[[], bool]) -> AbstractContextManager[None]:
    """Nobody else has to make room before a migration."""
    return nullcontext()


def open_engine(url: str, hold: Hold = at_once) -> Engine:
    """An engine with the schema of this version.

    SQLite runs with WAL and `synchronous=FULL`; every transaction that writes begins IMMEDIATE.

    Args:
        hold: around the migration of a store that an older version wrote: the moment at which
            nobody else works on it. It is given a question: whether somebody else has done it.

    Raises: HomeError when the store is newer than this version, or cannot be opened or migrated,
    and for any other database than SQLite.
    """
    engine = create_engine(_checked(url))
    event.listen(engine, "connect", _set_pragmas)
    try:
        _bring_up_to_date(engine, hold)
    except DatabaseError as error:
        raise HomeError(
            f"the store cannot be opened: {error.orig}", hint="set GPULEASE_HOME or --home"
        ) from error
    return engine


def check_schema(connection: Connection) -> None:
    """Raises: HomeError when a newer version has migrated the store since it was opened."""
    found = connection.execute(_VERSION).scalar()
    if found is not None and found != SCHEMA:
        _refuse_newer(found)


def rehearse(url: str) -> None:
    """Migrate a copy of the store, and throw it away; nothing when it is up to date.

    Whatever would stop a migration is found while the older version still works.
    Raises: HomeError.
    """
    place = _checked(url).database
    if not place or not Path(place).exists():
        return
    engine = create_engine(url)
    with engine.connect() as connection:
        found = _revision(connection)
    if found is None or found >= SCHEMA:
        engine.dispose()
        return
    copy = f"{place}.rehearsal-{os.getpid()}"
    try:
        _copy(engine, copy)
        rehearsed = create_engine(f"sqlite:///{copy}")
        event.listen(rehearsed, "connect", _set_pragmas)
        _migrate(rehearsed)
        rehearsed.dispose()
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        raise _not_migrated(error) from error
    finally:
        engine.dispose()
        for end in ("", "-wal", "-shm"):
            Path(copy + end).unlink(missing_ok=True)


def begin_write(connection: Connection) -> None:
    """Take SQLite's write lock before the first read of a transaction."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _checked(url: str) -> URL:
    """The URL of a SQLite file. Only its write lock keeps two processes from one dollar.

    What is wrong with it is not repeated: it may hold a password.
    """
    hint = "GPULEASE_DATABASE_URL=sqlite:////a/folder/of/a/local/disk/gpulease.sqlite, or unset it"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise HomeError("GPULEASE_DATABASE_URL is no database URL", hint=hint) from None
    if parsed.get_backend_name() != "sqlite":
        kind = parsed.get_backend_name()
        raise HomeError(f"the store is a SQLite file: {kind} is not supported", hint=hint)
    return parsed


def _set_pragmas(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we begin ourselves
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=ON",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _bring_up_to_date(engine: Engine, hold: Hold) -> None:
    found = _found(engine)
    if found is None:
        _migrate(engine)
        return
    if found == SCHEMA:
        return
    _refuse_newer(found)
    with hold(lambda: _found(engine) == SCHEMA):
        found = _found(engine) or ""
        _refuse_newer(found)
        if found == SCHEMA:
            return
        try:
            _keep_a_copy(engine, found)
            _migrate(engine)
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            raise _not_migrated(error) from error


def _refuse_newer(found: str) -> None:
    if found > SCHEMA:
        raise HomeError(
            f"this home was written by a newer gpulease (schema {found}, this one knows {SCHEMA})",
            hint="upgrade gpulease: pip install --upgrade gpulease",
        )


def _not_migrated(error: Exception) -> HomeError:
    return HomeError(
        f"the store could not be brought to this version: {error}",
        hint="nothing was changed: the version that wrote it goes on working with it",
    )


def _found(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(_VERSION).scalar()


def _keep_a_copy(engine: Engine, revision: str) -> None:
    """`STORE.schema-REVISION`: the way back to the version that wrote it."""
    database = make_url(str(engine.url)).database
    if database:
        part = f"{database}.part-{os.getpid()}"
        _copy(engine, part)
        Path(part).replace(f"{database}.schema-{revision}")


def _copy(engine: Engine, target: str) -> None:
    """A consistent copy, whoever else is writing."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with engine.connect() as connection, closing(sqlite3.connect(target)) as copy:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        source.backup(copy)


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection:
        begin_write(connection)
        if _revision(connection) != SCHEMA:  # another process may have been first
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA)
        connection.commit()
        if connection.connection.in_transaction:
            connection.exec_driver_sql("COMMIT")
