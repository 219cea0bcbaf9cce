"""One view of each provider's account, shared by every run of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.clock import Clock
from orchestrator.errors import BadCredentials, MissingCredentials
from orchestrator.providers.base import Account, Machine, Provider, same_account


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every machine of an account that can bill, as one full list said."""

    machines: tuple[Machine, ...]
    began_s: float  # `elapsed_s` before the list was asked for
    identity: str

    def under(self, label: str) -> list[Machine]:
        """Machines that carry a label, the oldest first."""
        found = [machine for machine in self.machines if machine.label == label]
        return sorted(found, key=lambda machine: (machine.created_at_s, machine.id))

    def by_id(self, machine_id: str | None) -> Machine | None:
        return next((machine for machine in self.machines if machine.id == machine_id), None)


@dataclass(frozen=True, slots=True)
class Purse:
    """One account as it was read: what it holds, and what all of its machines burn."""

    identity: str
    usd: Decimal
    usd_per_hour: Decimal
    read_s: float  # `elapsed_s`

    def left_usd(self, elapsed_s: float) -> Decimal:
        """What is left of it by now, if nothing else happened."""
        burnt_usd = self.usd_per_hour * int(elapsed_s - self.read_s) / 3600
        return max(Decimal(0), self.usd - burnt_usd)


class Accounts:
    """Providers built when first used, and one list per account and interval."""

    def __init__(
        self,
        build: Callable[[str], Provider],
        clock: Clock,
        refused: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._build = build
        self._refused = refused
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self.watchers: list[Callable[[str, Snapshot], None]] = []

    def provider(self, name: str) -> Provider:
        """Raises: MissingCredentials when no key is at hand."""
        with self._lock:
            if name not in self._providers:
                self._providers[name] = self._build(name)
            return self._providers[name]

    def forget(self, name: str, asked: Provider | None = None) -> None:
        """Build this provider anew next time: its key was refused, or is another account's.

        Said twice of one key it counts once, so that no other key loses its turn.

        Args:
            asked: only while its key is the one in use; None: whichever is.
        """
        with self._lock:
            known = self._providers.get(name)
            if asked is not None and known is not asked:
                return
            self._providers.pop(name, None)
            self._snapshots.pop(name, None)
        if known is not None:
            self._refused(name)

    def identity(self, name: str) -> str:
        """Who pays, by the provider's word or the key's fingerprint."""
        return self._with_identity(name)[1]

    def snapshot(self, name: str, *, max_age_s: float = 0.0) -> Snapshot:
        """A full list, at most `max_age_s` old."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        asked_s = self._clock.elapsed_s()
        with lock:
            known = self._snapshots.get(name)
            if known is not None and known.began_s >= asked_s - max_age_s:
                return known
            began_s = self._clock.elapsed_s()
            # One key for both: another run may have had it exchanged meanwhile.
            provider = self.provider(name)
            try:
                identity = _identity(provider)
                machines = tuple(provider.list_machines())
            except BadCredentials:
                self.forget(name, provider)
                raise
            taken = Snapshot(machines, began_s, identity)
            self._snapshots[name] = taken
        for watcher in self.watchers:
            watcher(name, taken)
        return taken

    def outdate(self, name: str) -> None:
        """Forget the last list: what it says is about to change."""
        with self._lock:
            self._snapshots.pop(name, None)

    def proves_absence(self, recorded: str, identity: str) -> bool:
        """Whether a miss under `identity` says anything about a machine of `recorded`."""
        return not recorded or same_account(recorded, identity) is True

    def renter(self, recorded: str, name: str) -> tuple[Provider, str]:
        """The provider under a key that may be the one which rented, and that key's identity.

        What this provider then says of a machine, it says for this identity. Raises:
        MissingCredentials when the key is surely another account's; the next try has another.
        """
        provider, identity = self._with_identity(name)
        if recorded and same_account(recorded, identity) is False:
            self.forget(name, provider)
            raise MissingCredentials(
                f"the {name} key at hand belongs to another account than the one that rented",
                hint=f"give the first account's key: gpulease login {name}",
            )
        return provider, identity

    def _with_identity(self, name: str) -> tuple[Provider, str]:
        provider = self.provider(name)
        try:
            return provider, _identity(provider)
        except BadCredentials:
            self.forget(name, provider)
            raise


def _identity(provider: Provider) -> str:
    return provider.identity() if isinstance(provider, Account) else ""
