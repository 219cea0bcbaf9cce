"""The journal: runs, leases, ledger and events of one home, each write a transaction.

Safety is here: every write of a run carries the version that it was read with, and changes
nothing when another writer was first (`StaleRun`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from orchestrator.budget.ledger import Entry, EntryKind, Standing, accrued_usd, committed_usd
from orchestrator.errors import HomeError, StaleRun
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Wish
from orchestrator.store import outbox, tables
from orchestrator.store.documents import lease_document, run_document, to_lease, to_run
from orchestrator.store.schema import Hold, at_once, begin_write, check_schema, open_engine

_WISHES = list(Wish)
_OPEN_LEASES = ("intended", "held", "returning")


class Journal:
    """The store of one home. Safe for several threads and processes."""

    def __init__(self, url: str, hold: Hold = at_once) -> None:
        """Open the store, migrating it where an older version wrote it: see `open_engine`."""
        self._engine = open_engine(url, hold)
        self._lock = threading.Lock()  # one writer of this process at a time: SQLite has one lock

    def close(self) -> None:
        self._engine.dispose()

    # reading

    def run(self, run_id: str) -> Run:
        """One run with its leases. KeyError when unknown."""
        with self._reading() as connection:
            return self._load(connection, run_id)

    def runs(self, *, only_open: bool = False, limit: int = 1000) -> list[Run]:
        """Runs, the newest first."""
        query = select(tables.runs.c.id).order_by(tables.runs.c.created_s.desc()).limit(limit)
        if only_open:
            query = query.where(tables.runs.c.is_open)
        with self._reading() as connection:
            ids = connection.execute(query).scalars().all()
            return [self._load(connection, run_id) for run_id in ids]

    def open_ids(self) -> list[str]:
        """Ids of runs that are not over, or whose machine may still bill."""
        with self._reading() as connection:
            query = select(tables.runs.c.id).where(tables.runs.c.is_open)
            return list(connection.execute(query).scalars())

    def find_ids(self, reference: str) -> list[str]:
        """Ids whose id starts with, or whose name is, `reference`; the newest first."""
        starts = tables.runs.c.id.startswith(reference, autoescape=True)
        query = (
            select(tables.runs.c.id)
            .where(starts | (tables.runs.c.name == reference))
            .order_by(tables.runs.c.created_s.desc())
        )
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def leases(self, *states: LeaseState) -> list[Lease]:
        """Every lease of this home in these states; in any state when none is named."""
        query = select(tables.leases.c.document, tables.leases.c.version)
        if states:
            query = query.where(tables.leases.c.state.in_([str(state) for state in states]))
        with self._reading() as connection:
            return [to_lease(*row) for row in connection.execute(query)]

    def entries(self, *, run_id: str | None = None, since_s: float = 0.0) -> list[Entry]:
        """Ledger entries in order."""
        columns = tables.ledger.c
        query = select(tables.ledger).where(columns.at_s >= since_s).order_by(columns.id)
        if run_id is not None:
            query = query.where(columns.run_id == run_id)
        with self._reading() as connection:
            return [_to_entry(row._mapping) for row in connection.execute(query)]

    def events(self, run_id: str) -> list[tuple[float, str]]:
        """(epoch seconds, text) of everything that happened to a run."""
        columns = tables.events.c
        query = select(columns.at_s, columns.text).where(columns.run_id == run_id)
        with self._reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query.order_by(columns.id))]

    def get_meta(self, key: str) -> str | None:
        query = select(tables.meta.c.value).where(tables.meta.c.key == key)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    # writing

    def add(
        self,
        run: Run,
        entries: list[Entry],
        check: Callable[[Standing], None],
        month_start_s: float,
    ) -> Run:
        """Record a new run with its first lease and commitment, unless `check` refuses.

        `check` sees where the home stands inside the same transaction.
        Raises: whatever `check` raises; StaleRun when an open run has this name already.
        """
        with self._writing(taken="the name or id was taken meanwhile") as connection:
            self._check_name(connection, run)
            check(self._standing(connection, month_start_s))
            connection.execute(insert(tables.runs).values(_run_row(run)))
            self._save_leases(connection, run, {})
            self._append(connection, run, entries, [])
        return run

    def save(
        self,
        before: Run,
        after: Run,
        entries: list[Entry],
        events: list[str],
        now_s: float,
        messages: Sequence[outbox.Waiting] = (),
        check: Callable[[Standing], None] | None = None,
        month_start_s: float = 0.0,
    ) -> Run:
        """Write what changed, and what others are to be told of it; returns the run as it stands.

        `check` sees where the home stands inside the same transaction, without this change.
        Raises: StaleRun when somebody else wrote this run, or one of its leases, since `before`
        was read, or whatever `check` raises; then nothing is written.
        """
        saved = replace(after, version=before.version + 1)
        with self._writing() as connection:
            if check is not None:
                check(self._standing(connection, month_start_s))
            self._save_run(connection, before, saved, list(Wish))
            self._drop_leases(connection, before, saved)
            self._append(connection, saved, entries, [(now_s, text) for text in events])
            outbox.put(connection, messages)
            return self._load(connection, before.id)

    def hand_over(
        self,
        before: Run,
        after: Run,
        taker: Run,
        entries: list[Entry],
        now_s: float,
        messages: Sequence[outbox.Waiting] = (),
    ) -> None:
        """Write a run's end and the run that goes on with its machine: both, or neither.

        Raises: StaleRun when somebody else wrote the first run, a person wants its machine back,
        or another open run has the second one's name.
        """
        with self._writing(taken="the name or id was taken meanwhile") as connection:
            saved = replace(after, version=before.version + 1)
            self._save_run(connection, before, saved, [Wish.GO_ON])
            self._check_name(connection, taker)
            connection.execute(insert(tables.runs).values(_run_row(taker)))
            self._save_leases(connection, taker, {})
            self._append(connection, after, entries, [(now_s, f"run {taker.id} goes on with it")])
            self._append(connection, taker, [], [(now_s, f"took over from run {before.id}")])
            outbox.put(connection, messages)

    def wish(self, run_id: str, wish: Wish) -> None:
        """Record what the person wants; a stronger wish is never weakened."""
        weaker = [str(one) for one in _WISHES[: _WISHES.index(wish)]]
        with self._writing() as connection:
            connection.execute(
                update(tables.runs)
                .where(tables.runs.c.id == run_id, tables.runs.c.wish.in_(weaker))
                .values(wish=str(wish))
            )

    def set_meta(self, key: str, value: str) -> None:
        with self._writing() as connection:
            done = connection.execute(
                update(tables.meta).where(tables.meta.c.key == key).values(value=value)
            )
            if not done.rowcount:
                connection.execute(insert(tables.meta).values(key=key, value=value))

    # messages

    def waiting_messages(self) -> list[outbox.Waiting]:
        """What others are still to be told, the next to be tried first."""
        with self._reading() as connection:
            return outbox.waiting(connection)

    def message_done(self, message_id: str) -> None:
        """It was accepted, or given up: it is never told again."""
        with self._writing() as connection:
            outbox.done(connection, message_id)

    def message_again(self, message_id: str, next_s: float) -> None:
        """It was not accepted: try again at `next_s`."""
        with self._writing() as connection:
            outbox.again(connection, message_id, next_s)

    def _save_run(
        self, connection: Connection, before: Run, saved: Run, wishes: Sequence[Wish]
    ) -> None:
        """Write a run and its leases, if it is as it was read and one of `wishes` is recorded."""
        columns, row = tables.runs.c, _run_row(saved)
        row.pop("wish")
        as_read = (columns.id == before.id, columns.version == before.version)
        agreed = columns.wish.in_([str(wish) for wish in wishes])
        written = update(tables.runs).where(*as_read, agreed).values(row)
        if connection.execute(written).rowcount != 1:
            raise StaleRun(f"run {before.id} was moved by another process")
        self._save_leases(connection, saved, dict(_placed(before)))

    def _check_name(self, connection: Connection, run: Run) -> None:
        columns = tables.runs.c
        named = select(columns.id).where(columns.name == run.name, columns.is_open)
        if other := connection.execute(named).scalar():
            raise StaleRun(f"run {other} is open under the name {run.name}")

    def _standing(self, connection: Connection, month_start_s: float) -> Standing:
        rows = connection.execute(select(tables.ledger).order_by(tables.ledger.c.id))
        entries = [_to_entry(row._mapping) for row in rows]
        query = select(tables.leases.c.document, tables.leases.c.version)
        query = query.where(tables.leases.c.state.in_(_OPEN_LEASES))
        billing = [lease for row in connection.execute(query) if (lease := to_lease(*row)).bills]
        burn = sum(
            (max(one.usd_per_hour, one.offer.price.usd_per_hour) for one in billing), Decimal(0)
        )
        return Standing(
            accrued_usd([entry for entry in entries if entry.at_s >= month_start_s]),
            committed_usd(entries),
            len(billing),
            burn,
        )

    def _save_leases(
        self, connection: Connection, run: Run, known: dict[str, tuple[int, Lease]]
    ) -> None:
        for key, (position, lease) in _placed(run):
            if known.get(key) == (position, lease):
                continue
            row = _lease_row(lease, position)
            if key not in known:
                connection.execute(insert(tables.leases).values(row))
                continue
            old = known[key][1]
            row["version"] = old.version + 1
            changed = connection.execute(
                update(tables.leases)
                .where(tables.leases.c.key == lease.key, tables.leases.c.version == old.version)
                .values(row)
            )
            if changed.rowcount != 1:
                raise StaleRun(f"the lease {lease.key} was moved by another process")

    def _drop_leases(self, connection: Connection, before: Run, run: Run) -> None:
        kept = {lease.key for lease in run.leases}
        columns = tables.leases.c
        for lease in before.leases:
            if lease.key in kept:
                continue
            same = (columns.key == lease.key) & (columns.version == lease.version)
            if connection.execute(delete(tables.leases).where(same)).rowcount != 1:
                raise StaleRun(f"the lease {lease.key} was moved by another process")

    def _append(
        self,
        connection: Connection,
        run: Run,
        entries: list[Entry],
        events: list[tuple[float, str]],
    ) -> None:
        if entries:
            connection.execute(insert(tables.ledger), [_entry_row(entry) for entry in entries])
        if events:
            rows = [{"run_id": run.id, "at_s": at_s, "text": text} for at_s, text in events]
            connection.execute(insert(tables.events), rows)

    def _load(self, connection: Connection, run_id: str) -> Run:
        columns = tables.runs.c
        row = connection.execute(
            select(columns.document, columns.version, columns.wish).where(columns.id == run_id)
        ).one_or_none()
        if row is None:
            raise KeyError(run_id)
        leases = connection.execute(
            select(tables.leases.c.document, tables.leases.c.version)
            .where(tables.leases.c.run_id == run_id)
            .order_by(tables.leases.c.position)
        )
        found = [to_lease(*lease) for lease in leases]
        return to_run(row.document, row.version, row.wish, found)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                check_schema(connection)
                yield connection
        except DatabaseError as error:
            raise HomeError(f"the store cannot be read: {error.orig}") from error

    @contextmanager
    def _writing(self, *, taken: str = "") -> Iterator[Connection]:
        """One transaction. Raises: HomeError; StaleRun where `taken` says what may clash."""
        try:
            with self._lock, self._engine.connect() as connection:
                begin_write(connection)
                try:
                    check_schema(connection)
                    yield connection
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
        except DatabaseError as error:
            if taken and isinstance(error, IntegrityError):
                raise StaleRun(f"{taken}: {error.orig}") from error
            raise HomeError(
                f"the store cannot be written: {error.orig}", hint="is the disk full?"
            ) from error


def _run_row(run: Run) -> dict[str, object]:
    document = run_document(run)
    return {
        "id": run.id,
        "name": run.name,
        "state": str(run.state),
        "is_open": run.is_open,
        "wish": str(run.wish),
        "version": run.version,
        "created_s": run.created_s,
        "document": document,
    }


def _placed(run: Run) -> Iterator[tuple[str, tuple[int, Lease]]]:
    """Each lease of a run by its key, with its place among all that the run ever had."""
    for position, lease in enumerate(run.leases, run.dropped):
        yield lease.key, (position, lease)


def _lease_row(lease: Lease, position: int) -> dict[str, object]:
    return {
        "key": lease.key,
        "label": lease.label,
        "run_id": lease.run_id,
        "provider": lease.provider,
        "state": str(lease.state),
        "version": lease.version,
        "position": position,
        "watch_until_s": lease.watch_until_s,
        "document": lease_document(lease),
    }


def _entry_row(entry: Entry) -> dict[str, object]:
    return {
        "at_s": entry.at_s,
        "run_id": entry.run_id,
        "kind": str(entry.kind),
        "usd": str(entry.usd),
        "label": entry.label,
        "note": entry.note,
    }


def _to_entry(row: RowMapping) -> Entry:
    return Entry(
        at_s=row["at_s"],
        run_id=row["run_id"],
        kind=EntryKind(row["kind"]),
        usd=Decimal(row["usd"]),
        label=row["label"],
        note=row["note"],
    )
