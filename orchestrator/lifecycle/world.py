"""What a step may touch, and what it may answer."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.artifacts.bucket import Bucket
from orchestrator.artifacts.local import HomeStore
from orchestrator.artifacts.log import LogFile
from orchestrator.clock import Clock
from orchestrator.errors import RemoteError
from orchestrator.lifecycle.accounts import Accounts, Purse
from orchestrator.lifecycle.plan import Known
from orchestrator.providers.base import MachineRequest, Provider
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish

INTENT_GOOD_S = 10.0
_KEYS_S = 30.0


@dataclass(frozen=True, slots=True)
class Moved:
    """The run changed: save it, then go on after `after_s`."""

    run: Run
    after_s: float = 0.0
    events: tuple[str, ...] = ()
    claim: str = ""  # key of a lease whose create this process may send, once this is saved
    instead: Run | None = None  # saved in its place when its new machine would pass a limit


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet. `reason` is shown; `run` carries small changes that are worth keeping."""

    seconds: float
    reason: str
    run: Run | None = None


Step = Moved | Wait


@dataclass(frozen=True, slots=True)
class Again:
    """When a chore of the driver is to be done again; `stays`: for it alone the driver lives on."""

    seconds: float
    stays: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A login that worked."""

    shell: Shell
    host_key: str


class Cargo(Protocol):
    """What a run sends to its machine, and keeps at home."""

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        """What to rent under the lease's label, with the run's key and the boot guard."""

    def ship(self, run: Run, lease: Lease, shell: Shell, keep_going: Callable[[], None]) -> None:
        """Send code, data, agent and run file; `keep_going` raises to stop in the middle."""

    def folder(self, run: Run) -> Path:
        """The run's folder at home."""


class Interrupted(Exception):
    """The wish changed in the middle of a long transfer."""


@dataclass
class World:
    """One process's hands: clocks, accounts, connections, and the intents that it recorded."""

    clock: Clock
    home_id: str
    accounts: Accounts
    open_shell: Callable[[Run, Lease], Opened]
    cargo: Cargo
    wish_of: Callable[[str], Wish]
    bucket: Callable[[Run, Lease], Bucket | None] = lambda run, lease: None  # where results go
    purse: Callable[[Lease], Purse | None] = lambda lease: None  # what its account holds
    answers: Callable[[Lease], bool] = lambda lease: True  # whether sshd says its name there
    recall: Callable[[Iterable[str]], Known] = lambda names: Known()  # beside the offers
    is_wanted_back: Callable[[], bool] = lambda: False  # this process is to make room for another
    intents: dict[str, tuple[str, float]] = field(default_factory=dict)
    first_saw: dict[str, float] = field(default_factory=dict)
    reached_s: dict[str, float] = field(default_factory=dict)  # last, before its deadline; by lease
    listed: dict[str, tuple[float, float]] = field(default_factory=dict)  # last, longest without
    missed: dict[str, float] = field(default_factory=dict)  # by a first list
    shells: dict[str, Shell] = field(default_factory=dict)
    stores: dict[str, HomeStore] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_intent(self) -> str:
        return secrets.token_hex(8)

    def remember_intent(self, lease: Lease) -> None:
        """From here this process, and no other, may send one create under the lease."""
        self.intents[lease.key] = (lease.intent, self.clock.elapsed_s())

    def take_intent(self, lease: Lease) -> float | None:
        """Age of this process's own intent, once; None when it is not ours to send."""
        token, recorded_s = self.intents.pop(lease.key, ("", 0.0))
        if not token or token != lease.intent:
            return None
        return self.clock.elapsed_s() - recorded_s

    def awake_since_first_saw_s(self, key: str) -> float:
        """For how long this process has known an intent, without the time asleep."""
        now_s = self.clock.awake_s()
        return now_s - self.first_saw.setdefault(key, now_s)

    def longest_unlisted_s(self, lease: Lease, listed_s: float) -> float:
        """The longest stretch without a list of its account, since a create was sent.

        Args:
            listed_s: `elapsed_s` when the newest list was begun.
        """
        sent_s = self.clock.now_s() if lease.sent_s is None else lease.sent_s
        began_s = self.clock.elapsed_s() - (self.clock.now_s() - sent_s)
        last_s, longest_s = self.listed.get(lease.key, (began_s, 0.0))
        known = max(last_s, listed_s), max(longest_s, listed_s - last_s)
        self.listed[lease.key] = known
        return known[1]

    def first_missed_s(self, lease: Lease, listed_s: float) -> float:
        """When the first list was begun that should have shown a label, and did not.

        Args:
            listed_s: `elapsed_s` when such a list was begun.
        """
        return self.missed.setdefault(lease.key, listed_s)

    def other_key(self, lease: Lease, asked: Provider) -> float:
        """After a miss that proves nothing under this key: the next one's turn.

        Returns: seconds until it is asked. At once at first, so that machines of two accounts,
        which take the key from each other, all get on; later seldom: nobody may have given it.
        """
        self.accounts.forget(lease.provider, asked)
        is_first = _keys(lease) not in self.first_saw
        known_s = self.awake_since_first_saw_s(_keys(lease))
        return 0.0 if is_first else min(_KEYS_S, max(1.0, known_s))

    def right_key(self, lease: Lease) -> None:
        """The key in use told of the machine: a later miss under another is a new one."""
        self.first_saw.pop(_keys(lease), None)

    def shell(self, run: Run, lease: Lease) -> Shell:
        """The open connection to a machine, opened when there is none. Raises RemoteError."""
        with self._lock:
            known = self.shells.get(lease.connection)
        if known is None:
            known = self.open_shell(run, lease).shell
            with self._lock:
                self.shells[lease.connection] = known
        return known

    def home_store(self, run: Run) -> HomeStore:
        """Where the run's results come home; kept, because it remembers how far it is."""
        with self._lock:
            if run.id not in self.stores:
                self.stores[run.id] = HomeStore(self.cargo.folder(run), self.clock)
            return self.stores[run.id]

    def log(self, run: Run) -> LogFile:
        """The run's log at home."""
        return LogFile(self.cargo.folder(run), run.log_base)

    def forget_run(self, run: Run) -> None:
        """The run is over: let go of everything that was open for it."""
        for lease in run.leases:
            if not lease.handed_to:  # else the connection is another run's now
                self.drop_shell(lease)
        with self._lock:
            store = self.stores.pop(run.id, None)
        if store is not None:
            store.close()

    def drop_shell(self, lease: Lease) -> None:
        """Close the connection to a machine; the next use opens another."""
        with self._lock:
            shell = self.shells.pop(lease.connection, None)
        if shell is not None:
            with contextlib.suppress(RemoteError, OSError):
                shell.close()

    def keep_going(self, run: Run) -> Callable[[], None]:
        """Raises Interrupted once the person wants something else; asks once a second."""
        asked_s = [self.clock.awake_s()]

        def check() -> None:
            if self.clock.awake_s() - asked_s[0] < 1.0:
                return
            asked_s[0] = self.clock.awake_s()
            if self.wish_of(run.id) is not run.wish:
                raise Interrupted

        return check


def _keys(lease: Lease) -> str:
    return f"{lease.key} under other keys"
