"""The tables of a home. Nothing here that PostgreSQL would not take."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("wish", Text, nullable=False),  # beside the version: a wish never waits for a step
    Column("version", Integer, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("document", Text, nullable=False),
    Index("runs_open", "is_open"),
    Index("runs_name", "name"),
)

leases = Table(
    "leases",
    metadata,
    Column("key", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("run_id", Text, ForeignKey("runs.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("watch_until_s", Float, nullable=False),
    Column("document", Text, nullable=False),
    Index("leases_run", "run_id"),
    Index("leases_state", "state"),
    Index("leases_label", "label"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("usd", Text, nullable=False),  # decimal text
    Column("label", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index("ledger_run", "run_id"),
    Index("ledger_at", "at_s"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Text, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("text", Text, nullable=False),
    Index("events_run", "run_id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_s", Float, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Index("outbox_due", "is_done", "next_s"),
)
