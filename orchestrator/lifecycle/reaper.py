"""Every machine on every account: whose it is, and what may be returned."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Event

from orchestrator.clock import Clock
from orchestrator.errors import (
    GpuleaseError,
    MachineNotFound,
    ProviderDown,
    ProviderError,
    StaleRun,
)
from orchestrator.lifecycle.accounts import Accounts, Snapshot
from orchestrator.lifecycle.deadlines import OWN_PAST_DEADLINE_S, PAST_DEADLINE_S, SECOND_MISS_S
from orchestrator.lifecycle.leasing import with_stray
from orchestrator.lifecycle.world import Again
from orchestrator.providers.base import Machine, known_as
from orchestrator.runs.label import Label, parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

_PROOF_S = 300.0  # a search that takes longer delays the next one
_LOOK_AGAIN_S = 60.0
_JUST_LISTED_S = 10.0
# Leases of which it is decided which machine they are for, if any.
_DECIDED = (LeaseState.TOMBSTONE, LeaseState.CLOSED, LeaseState.HELD, LeaseState.RETURNING)


class Whose(StrEnum):
    OURS = "ours"  # an open lease of this store
    ORPHAN = "orphan"  # our home's label; the lease is closed, a tombstone, or unknown
    ELSEWHERE = "elsewhere"  # another home's label
    FOREIGN = "foreign"  # no label of ours: never touched


@dataclass(frozen=True, slots=True)
class Found:
    """One machine on an account."""

    provider: str
    machine: Machine
    whose: Whose
    label: Label | None
    lease: Lease | None
    account: str = ""  # identity under which it was listed
    bills: bool = True

    def is_past_deadline(self, now_s: float, by_s: float = PAST_DEADLINE_S) -> bool:
        return self.label is not None and now_s > self.label.deadline_s + by_s

    def may_return(self, now_s: float, *, past_deadline: bool) -> bool:
        """What `reap --delete` returns; foreign machines and other homes' never without reason.

        Of what an open run of this home has, only what is to end anyway.
        """
        if past_deadline:
            return self.is_past_deadline(
                now_s, PAST_DEADLINE_S if self.bills else OWN_PAST_DEADLINE_S
            )
        is_let_go = self.lease is not None and self.lease.state is LeaseState.RETURNING
        return self.whose is Whose.ORPHAN or (self.whose is Whose.OURS and is_let_go)


def classify(provider: str, machine: Machine, leases: list[Lease], home_id: str) -> Found:
    """Whose a machine is. The cloud was listed before the store was read."""
    label = parse_label(machine.label)
    if label is None:
        return Found(provider, machine, Whose.FOREIGN, None, None)
    if label.home != home_id:
        return Found(provider, machine, Whose.ELSEWHERE, label, None)
    named = [one for one in leases if one.label == machine.label]
    named.sort(key=lambda one: not one.is_open)
    exact = [one for one in named if one.machine_id == machine.id]
    exact.sort(key=lambda one: one.state is LeaseState.HANDED)  # the last run's comes first
    lease = next(iter(exact or named), None)
    is_open = any(one.is_open for one in exact) or any(
        one.state is LeaseState.INTENDED for one in named
    )
    return Found(provider, machine, Whose.OURS if is_open else Whose.ORPHAN, label, lease)


@dataclass(slots=True)
class _Ending:
    """A machine on its way to the proof that it is gone."""

    found: Found
    misses: int = 0  # in a row
    needed: int = 3  # of which the first begins the wait
    pause_s: float = SECOND_MISS_S

    @property
    def is_proven(self) -> bool:
        return self.misses >= self.needed


@dataclass(frozen=True, slots=True)
class Reaper:
    """Looks at every account of this home."""

    accounts: Accounts
    journal: Journal
    clock: Clock
    home_id: str

    def look(self, names: list[str]) -> tuple[list[Found], list[str], dict[str, str]]:
        """Every machine of these accounts.

        Returns: the machines, a sentence for each account that did not answer, and the identity
        of each that did.
        """
        found: list[Found] = []
        failures: list[str] = []
        answered: dict[str, str] = {}
        for name in names:
            try:
                snapshot = self.accounts.snapshot(name)
                bills = self.accounts.provider(name).capabilities.bills
            except GpuleaseError as error:
                failures.append(f"{name}: {error.problem}")
                continue
            answered[name] = snapshot.identity
            leases = self.journal.leases()
            for one in snapshot.machines:
                seen = classify(name, one, leases, self.home_id)
                found.append(replace(seen, account=snapshot.identity, bills=bills))
        return found, failures, answered

    def return_known(self, name: str, snapshot: Snapshot) -> None:
        """The automatic pass over one list: machines that surely are this home's, and in no use.

        Their label's lease is closed, a tombstone, or of another machine.
        """
        leases = [one for one in self.journal.leases(*_DECIDED) if one.provider == name]
        known = {lease.label for lease in leases}
        in_use = {(lease.label, lease.machine_id) for lease in leases if lease.is_open}
        for machine in snapshot.machines:
            if machine.label not in known or (machine.label, machine.id) in in_use:
                continue
            found = classify(name, machine, self.journal.leases(), self.home_id)
            if found.whose is Whose.ORPHAN and found.lease is not None:
                self._return(replace(found, account=snapshot.identity), found.lease)

    def search(self, names: Callable[[], list[str]]) -> Again:
        """List each of these accounts once; whoever watches lists returns what was forgotten.

        The driver does it when it has runs again, and when the last one has ended.
        """
        for name in names():
            try:
                self.accounts.snapshot(name, max_age_s=_JUST_LISTED_S)
            except GpuleaseError as error:
                log.warning("an account is not searched now account=%s: %s", name, error.problem)
        return Again(math.inf, stays=False)

    def watch_abandoned(self) -> Again:
        """List the accounts on which a machine may still appear under an abandoned label.

        Also under one that a person closed without a proof.
        """
        now_s = self.clock.now_s()
        abandoned = self.journal.leases(LeaseState.TOMBSTONE, LeaseState.CLOSED)
        watched = [lease for lease in abandoned if lease.watch_until_s > now_s]
        names = {lease.provider for lease in watched}
        for name in sorted(names):
            try:
                self.return_known(name, self.accounts.snapshot(name))
            except GpuleaseError as error:
                log.warning("an abandoned label is not watched now: %s", error.problem)
        stays = any(lease.watch_until_s > now_s + _LOOK_AGAIN_S for lease in watched)
        return Again(_LOOK_AGAIN_S, stays=stays)

    def end(self, found: Sequence[Found], report: Callable[[str], None]) -> list[Found]:
        """Delete machines until their providers say gone; gives those that took too long.

        All are asked to end before any is waited for: none bills on because another stays.
        """
        endings = [_Ending(one) for one in found]
        until_s = self.clock.elapsed_s() + _PROOF_S
        self._each(endings, self._ask, report)
        while left := [one for one in endings if not one.is_proven]:
            pause_s = max(one.pause_s for one in left)
            if self.clock.elapsed_s() + pause_s > until_s:
                break
            self.clock.wait(_never(), pause_s)
            self._each(left, self._prove, report)
        return [one.found for one in left]

    def _each(
        self,
        endings: list[_Ending],
        do: Callable[[_Ending, Callable[[str], None]], None],
        report: Callable[[str], None],
    ) -> None:
        """Do one thing for each; what fails for one keeps no other."""
        for ending in endings:
            try:
                do(ending, report)
            except GpuleaseError as error:
                report(f"{ending.found.provider}: {error.problem}")

    def _ask(self, ending: _Ending, report: Callable[[str], None]) -> None:
        found = ending.found
        provider, _ = self.accounts.renter(found.account, found.provider)
        capabilities = provider.capabilities
        ending.needed = 3 if capabilities.one_miss_is_noise else 2
        ending.pause_s = max(SECOND_MISS_S, capabilities.list_lag_s)
        try:
            provider.delete_machine(found.machine.id)
        except MachineNotFound:
            return  # which is no proof yet
        report(f"{found.provider}: asked to end {found.machine.id}")

    def _prove(self, ending: _Ending, report: Callable[[str], None]) -> None:
        """Count a miss where the account knows it neither by its id nor in its list; else ask
        again for its end. Raises: as a provider's calls."""
        found, misses, ending.misses = ending.found, ending.misses, 0
        provider, identity = self.accounts.renter(found.account, found.provider)
        proves = self.accounts.proves_absence
        try:
            provider.get_machine(found.machine.id)
        except MachineNotFound:
            view = self.accounts.snapshot(found.provider)
            if not (proves(found.account, identity) and proves(found.account, view.identity)):
                self.accounts.forget(found.provider, provider)
                raise ProviderDown("the key at hand may be another account's") from None
            if view.by_id(found.machine.id) is None:
                ending.misses = misses + 1
                if ending.is_proven:
                    report(f"{found.provider}: {found.machine.id} is gone")
                return
        except ProviderError as error:  # what cannot be read may be deleted all the same
            report(f"{found.provider}: {error.problem}")
        self._ask(ending, report)

    def _return(self, found: Found, lease: Lease) -> None:
        """Put a machine under a label of ours on its way back, in the ledger too."""
        machine, is_abandoned = found.machine, lease.state is LeaseState.TOMBSTONE
        if not is_abandoned and not self._lives(found):
            return
        try:
            run = self.journal.run(lease.run_id)
            current = next(one for one in run.leases if one.key == lease.key)
            why = "it appeared under " + ("an abandoned label" if is_abandoned else "a used label")
            if is_abandoned:
                held = current.move(
                    LeaseState.HELD,
                    account=known_as(lease.account, found.account),
                    machine_id=machine.id,
                    began_s=machine.created_at_s,
                    bound_usd=None,
                )
                after = run.with_lease(held.move(LeaseState.RETURNING, why_ended=why))
            else:
                after = with_stray(run, current, machine, found.account, why)
            event = f"{machine.id}{why.removeprefix('it')}: it goes back"
            self.journal.save(run, after.note(event), [], [event], self.clock.now_s())
        except StaleRun:
            log.info("the run of an orphan moved meanwhile; the next list tries again")

    def _lives(self, found: Found) -> bool:
        """Whether a machine is there by its id too: a list may be behind what is proven gone."""
        try:
            provider, _ = self.accounts.renter(found.account, found.provider)
            provider.get_machine(found.machine.id)
        except MachineNotFound:
            return False
        except GpuleaseError as error:
            log.warning("a listed machine cannot be read now: %s", error.problem)
        return True


def _never() -> Event:
    return Event()
