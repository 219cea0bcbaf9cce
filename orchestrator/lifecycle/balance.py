"""Money left on the providers' accounts: what a plan may rely on, and when a run ends early.

The work is saved only when the account just pays for that and for the return: most jobs end long
before their deadline, by which the warning reckons, and credit may be added meanwhile.

Where a balance cannot be read, nothing of this happens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.caps import RETURN_S, balance_ends
from orchestrator.clock import Clock
from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.accounts import Accounts, Purse
from orchestrator.lifecycle.world import Again
from orchestrator.providers.base import Account, same_account
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

LOOK_S = 600.0  # RunPod facts §5: check the balance every ten minutes
_SOONEST_S = 60.0  # where the money is about to end
_STALE_S = 2 * LOOK_S


class Purses:
    """The balance of each account that rents, read rarely and beside the runs."""

    def __init__(self, accounts: Accounts, journal: Journal, clock: Clock) -> None:
        self._accounts = accounts
        self._journal = journal
        self._clock = clock
        self._purses: dict[str, Purse] = {}

    def of(self, lease: Lease) -> Purse | None:
        """What is known of the account that pays for a lease; None: nothing that still counts."""
        purse = self._purses.get(lease.provider)
        if purse is None or self._clock.elapsed_s() - purse.read_s > _STALE_S:
            return None
        return purse if same_account(lease.account, purse.identity) is True else None

    def look(self) -> Again:
        """Read the balance of every account on which a machine bills."""
        held = self._journal.leases(LeaseState.HELD)
        names = {lease.provider for lease in held if lease.bills}
        for name in sorted(names):
            try:
                self._read(name)
            except GpuleaseError as error:
                log.warning("a balance cannot be read now provider=%s: %s", name, error.problem)
        return Again(self._again_s(names), stays=False)

    def _read(self, name: str) -> None:
        provider = self._accounts.provider(name)
        if not isinstance(provider, Account):
            return
        snapshot = self._accounts.snapshot(name, max_age_s=_SOONEST_S)
        usd = provider.balance_usd()
        if usd is None:
            return
        burn = sum((machine.usd_per_hour for machine in snapshot.machines), Decimal(0))
        self._purses[name] = Purse(snapshot.identity, usd, burn, self._clock.elapsed_s())

    def _again_s(self, names: set[str]) -> float:
        """Twice as soon as the money ends; a machine that is rented meanwhile waits for no look."""
        soonest_s = LOOK_S if names else _SOONEST_S
        for name in names:
            purse = self._purses.get(name)
            if purse is not None and purse.usd_per_hour > 0:
                lasts_s = float(purse.usd / purse.usd_per_hour) * 3600 - RETURN_S
                soonest_s = min(soonest_s, lasts_s / 2)
            elif purse is not None:
                soonest_s = _SOONEST_S
        return max(_SOONEST_S, soonest_s)


def balances(accounts: Accounts, names: Iterable[str]) -> dict[str, Decimal]:
    """What each of these accounts holds, as far as it can be read."""
    found: dict[str, Decimal] = {}
    for name in names:
        provider = accounts.provider(name)
        usd = provider.balance_usd() if isinstance(provider, Account) else None
        if usd is not None:
            found[name] = usd
    return found


def heed(run: Run, purse: Purse | None, now_s: float, elapsed_s: float) -> tuple[Run, list[str]]:
    """The run with what its account holds, and a warning, once, where that may not last."""
    lease = run.lease
    if purse is None or lease is None:
        return run, []
    heeded = replace(lease, balance_usd=purse.usd)
    left_s = max(0.0, lease.deadline_s - now_s)
    rate = max(lease.usd_per_hour, lease.offer.price.usd_per_hour)
    needed_usd = rate * int(left_s) / 3600
    left_usd = purse.left_usd(elapsed_s)
    if lease.balance_warned or left_usd >= 2 * needed_usd:
        return run.with_lease(heeded), []
    text = (
        f"the {lease.provider} account holds ${left_usd:.2f}, and this machine may burn "
        f"${needed_usd:.2f} until its deadline: add credit, or the job is saved and collected early"
    )
    return run.with_lease(replace(heeded, balance_warned=True)).note(text), [text]


def runs_dry(lease: Lease, purse: Purse | None, collect_s: float, elapsed_s: float) -> bool:
    """Whether the account is so low that the work must be saved and brought home now."""
    if purse is None or not lease.bills:
        return False
    rate = max(purse.usd_per_hour, lease.usd_per_hour)
    return balance_ends(purse.left_usd(elapsed_s), rate, collect_s=collect_s, look_s=_SOONEST_S)
