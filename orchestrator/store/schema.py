"""Opening a store: its engine, and its schema brought to this version."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.errors import HomeError

SCHEMA = "0002"
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> Engine:
    """An engine with the schema of this version.

    SQLite runs with WAL and `synchronous=FULL`; every transaction that writes begins IMMEDIATE.
    Raises: HomeError when the store is newer than this version, or cannot be opened.
    """
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    try:
        _bring_up_to_date(engine)
    except DatabaseError as error:
        raise HomeError(
            f"the store cannot be opened: {error.orig}", hint="set GPULEASE_HOME or --home"
        ) from error
    return engine


def begin_write(connection: Connection) -> None:
    """Take SQLite's write lock before the first read of a transaction."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


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


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == SCHEMA:
        return
    if found is not None and found > SCHEMA:
        raise HomeError(
            f"this home was written by a newer gpulease (schema {found}, this one knows {SCHEMA})",
            hint="upgrade gpulease: pip install --upgrade gpulease",
        )
    if found is not None:
        _keep_a_copy(engine, found)
    _migrate(engine)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _keep_a_copy(engine: Engine, revision: str) -> None:
    database = make_url(str(engine.url)).database
    if engine.dialect.name == "sqlite" and database:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy2(database, f"{database}.schema-{revision}")


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
        if connection.dialect.name == "sqlite" and connection.connection.in_transaction:
            connection.exec_driver_sql("COMMIT")
