"""Messages that are still to be told: written with the change that they tell of, sent later.

The id follows from the event: a driver that dies tells it all the same, and what is told twice can
be recognised. No run waits for a receiver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from orchestrator.store import tables


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that nobody has accepted yet."""

    id: str
    run_id: str
    body: bytes
    at_s: float
    tries: int = 0
    next_s: float = 0.0  # epoch; not tried before


def put(connection: Connection, messages: Iterable[Waiting]) -> None:
    """Add messages inside the caller's transaction; one that was ever added stays as it is."""
    columns = tables.outbox.c
    for message in messages:
        known = select(columns.id).where(columns.id == message.id)
        if connection.execute(known).scalar() is None:
            row = {
                "id": message.id,
                "run_id": message.run_id,
                "body": message.body.decode(),
                "at_s": message.at_s,
                "tries": 0,
                "next_s": message.next_s,
                "is_done": False,
            }
            connection.execute(insert(tables.outbox).values(row))


def waiting(connection: Connection, limit: int = 20) -> list[Waiting]:
    """What is still to be told, the next to be tried first."""
    columns = tables.outbox.c
    query = select(tables.outbox).where(columns.is_done.is_(False)).order_by(columns.next_s)
    return [
        Waiting(row.id, row.run_id, row.body.encode(), row.at_s, row.tries, row.next_s)
        for row in connection.execute(query.limit(limit))
    ]


def done(connection: Connection, message_id: str) -> None:
    """It was accepted, or given up; it is never told again."""
    known = tables.outbox.c.id == message_id
    connection.execute(update(tables.outbox).where(known).values(is_done=True, body=""))


def again(connection: Connection, message_id: str, next_s: float) -> None:
    """It was not accepted; to be tried again later."""
    columns = tables.outbox.c
    later = {"tries": columns.tries + 1, "next_s": next_s}
    connection.execute(update(tables.outbox).where(columns.id == message_id).values(later))
