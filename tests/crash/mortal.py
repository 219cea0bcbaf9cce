"""The hands of a mortal process: provider, journal and shell, each effect between two points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.budget.ledger import Entry, Standing
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Machine, MachineRequest, Provider
from orchestrator.providers.wrappers import T, Wrapper
from orchestrator.remote.shell import Reply, Shell
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish
from orchestrator.spec.resources import Need
from orchestrator.store.journal import Journal
from orchestrator.store.outbox import Waiting
from tests.crash.life import Life


class MortalProvider(Wrapper):
    """Each request that goes out, between two points.

    `created` runs right behind each create, `ends` before each delete.
    """

    def __init__(
        self,
        inner: Provider,
        life: Life,
        created: Callable[[MachineRequest], None],
        ends: Callable[[str], None],
    ) -> None:
        self._life = life
        self._created = created
        self._ends = ends
        super().__init__(inner)

    def list_offers(self, need: Need) -> list[Offer]:
        return self._life.around("list_offers", lambda: self._inner.list_offers(need))

    def create_machine(self, request: MachineRequest) -> Machine:
        return self._life.around("create", lambda: self._create(request))

    def get_machine(self, machine_id: str) -> Machine:
        return self._life.around("get", lambda: self._inner.get_machine(machine_id))

    def list_machines(self) -> list[Machine]:
        return self._life.around("list", self._inner.list_machines)

    def delete_machine(self, machine_id: str) -> None:
        self._life.around("delete", lambda: self._delete(machine_id))

    def _create(self, request: MachineRequest) -> Machine:
        try:
            return self._inner.create_machine(request)
        finally:
            self._created(request)

    def _delete(self, machine_id: str) -> None:
        self._ends(machine_id)
        self._inner.delete_machine(machine_id)

    def _reading(self, name: str, method: Callable[..., T]) -> Callable[..., T]:
        return lambda *arguments: self._life.around(name, lambda: method(*arguments))


class MortalJournal(Journal):
    """Each transaction between two points. SQLite itself makes one whole or nothing."""

    def __init__(self, url: str, life: Life) -> None:
        super().__init__(url)
        self._life = life

    def add(
        self,
        run: Run,
        entries: list[Entry],
        check: Callable[[Standing], None],
        month_start_s: float,
    ) -> Run:
        add = super().add
        return self._life.around("add", lambda: add(run, entries, check, month_start_s))

    def save(
        self,
        before: Run,
        after: Run,
        entries: list[Entry],
        events: list[str],
        now_s: float,
        messages: Sequence[Waiting] = (),
        check: Callable[[Standing], None] | None = None,
        month_start_s: float = 0.0,
    ) -> Run:
        save = super().save
        name = f"save {before.state}" + (f"→{after.state}" if after.state != before.state else "")
        return self._life.around(
            name,
            lambda: save(before, after, entries, events, now_s, messages, check, month_start_s),
        )

    def hand_over(
        self,
        before: Run,
        after: Run,
        taker: Run,
        entries: list[Entry],
        now_s: float,
        messages: Sequence[Waiting] = (),
    ) -> None:
        give = super().hand_over
        self._life.around("hand_over", lambda: give(before, after, taker, entries, now_s, messages))

    def wish(self, run_id: str, wish: Wish) -> None:
        say = super().wish
        self._life.around("wish", lambda: say(run_id, wish))

    def set_meta(self, key: str, value: str) -> None:
        say = super().set_meta
        self._life.around("set_meta", lambda: say(key, value))

    def message_done(self, message_id: str) -> None:
        say = super().message_done
        self._life.around("message_done", lambda: say(message_id))

    def message_again(self, message_id: str, next_s: float) -> None:
        say = super().message_again
        self._life.around("message_again", lambda: say(message_id, next_s))


@dataclass
class MortalShell:
    """What changes the machine or brings bytes home, between two points; a mere look is none."""

    inner: Shell
    life: Life

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        name = f"run {command.split()[0]} {command.split()[-1]}"[:40]
        return self.life.around(
            name, lambda: self.inner.run(command, stdin=stdin, timeout_s=timeout_s)
        )

    def read(self, path: str, offset: int, limit: int) -> bytes:
        return self.inner.read(path, offset, limit)

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self.life.around(f"write {path}", lambda: self.inner.write(path, data, mode=mode))

    def push(self, stream: Iterable[bytes]) -> None:
        self.life.around("push", lambda: self.inner.push(stream))

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        for data in self.inner.pull(path, offset, size_bytes):
            self.life.point(f"before a piece of {path}")
            yield data

    def close(self) -> None:
        self.inner.close()
