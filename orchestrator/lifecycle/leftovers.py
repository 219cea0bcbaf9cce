"""What runs leave on accounts beside machines, such as SSH keys: found by label, removed.

Looked for at each run's end and each driver's start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.clock import Clock
from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.deadlines import PAST_DEADLINE_S
from orchestrator.lifecycle.world import Again
from orchestrator.providers.base import Leftover, Leftovers
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 60.0
_MOST_TRIES = 10  # of an account that does not answer; the next driver begins anew
_OPEN = (LeaseState.INTENDED, LeaseState.HELD, LeaseState.RETURNING)


@dataclass(frozen=True, slots=True)
class Left:
    """One thing on one account."""

    provider: str
    thing: Leftover

    @property
    def words(self) -> str:
        return f"{self.provider}: the {self.thing.kind} {self.thing.label}"


def removable(
    things: Iterable[Leftover], open_leases: Iterable[Lease], home_id: str
) -> list[Leftover]:
    """What no open lease of its run needs, of this home alone. The account was listed first."""
    needed = {one.run for lease in open_leases if (one := parse_label(lease.label)) is not None}
    found = []
    for thing in things:
        label = parse_label(thing.label)
        if label is not None and label.home == home_id and label.run not in needed:
            found.append(thing)
    return found


def past_deadline(things: Iterable[Leftover], now_s: float) -> list[Leftover]:
    """What is left of any home's runs whose first machine should long be gone.

    A run that goes on under a later label loses nothing: it adds what it needs anew.
    """
    labelled = ((thing, parse_label(thing.label)) for thing in things)
    return [
        thing
        for thing, label in labelled
        if label is not None and now_s > label.deadline_s + PAST_DEADLINE_S
    ]


@dataclass(slots=True)
class Sweeper:
    """Looks at the accounts on which this home has rented."""

    accounts: Accounts
    journal: Journal
    clock: Clock
    home_id: str
    _tries: dict[str, int] = field(default_factory=dict)  # account → failed looks; of those in need
    _begun: bool = False

    def sweep(self) -> Again:
        """Remove what ended runs left; done once all is gone, or an account does not answer."""
        leases = self.journal.leases(*(_OPEN if self._begun else ()))
        self._begun = True
        for name in {lease.provider for lease in leases}:
            self._tries.setdefault(name, 0)
        for name, tries in list(self._tries.items()):
            try:
                is_clean = self._sweep(name)
            except GpuleaseError as error:
                log.warning("leftovers are not looked for now: %s", error.problem)
                self._tries[name] = tries + 1
                is_clean = tries + 1 >= _MOST_TRIES
            if is_clean:
                del self._tries[name]
        return Again(_LOOK_AGAIN_S, stays=any(self._tries.values()))

    def look(self, names: Iterable[str], *, past: bool) -> tuple[list[Left], list[str]]:
        """What `reap` would remove, and one sentence per account that did not answer."""
        found: list[Left] = []
        failures: list[str] = []
        for name in names:
            try:
                provider = self.accounts.provider(name)
                if not isinstance(provider, Leftovers):
                    continue
                things = provider.list_leftovers()
            except GpuleaseError as error:
                failures.append(f"{name}: {error.problem}")
                continue
            if past:
                found += [Left(name, one) for one in past_deadline(things, self.clock.now_s())]
            else:
                leases = self.journal.leases(*_OPEN)
                found += [Left(name, one) for one in removable(things, leases, self.home_id)]
        return found, failures

    def remove(self, left: Left, report: Callable[[str], None]) -> None:
        """Remove one, and say so, or why not."""
        provider = self.accounts.provider(left.provider)
        assert isinstance(provider, Leftovers), "only such providers have leftovers"
        try:
            provider.delete_leftover(left.thing)
        except GpuleaseError as error:
            report(f"{left.words} stays: {error.problem}")
            return
        report(f"{left.words} is removed")

    def _sweep(self, name: str) -> bool:
        """One account; whether nothing is left there that an open run may still leave behind."""
        provider = self.accounts.provider(name)
        if not isinstance(provider, Leftovers):
            return True
        things = provider.list_leftovers()
        leases = self.journal.leases(*_OPEN)
        for thing in removable(things, leases, self.home_id):
            provider.delete_leftover(thing)
            log.info(
                "removed a leftover account=%s kind=%s label=%s", name, thing.kind, thing.label
            )
        return not any(lease.provider == name for lease in leases)
