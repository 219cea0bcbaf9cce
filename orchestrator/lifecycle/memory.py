"""What this home remembers, and its accounts tell, beside the offers themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.balance import balances
from orchestrator.lifecycle.boots import boots_of
from orchestrator.lifecycle.drill import drilled_accounts
from orchestrator.lifecycle.heartbeat import Heartbeat, watched
from orchestrator.lifecycle.plan import Known
from orchestrator.lifecycle.reclaims import stays_of
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)


def recall(
    accounts: Accounts,
    journal: Journal,
    names: Iterable[str],
    now_s: float,
    heartbeat: Callable[[], Heartbeat | None] = lambda: None,
) -> Known:
    """Of these accounts: balances, which machines came up of late, how long bids held, whose guard
    was drilled, and which a reaper on another host searches.

    The same for a plan that a person sees and for one that a waiting run makes later.
    Raises: as a provider that is asked for its identity.
    """
    names = list(names)
    try:
        heard = heartbeat()
    except GpuleaseError as error:
        log.warning("no sign of life of the reaper: %s", error.problem)
        heard = None
    leases = list(journal.leases())
    return Known(
        balances=balances(accounts, names),
        boots=boots_of(leases, now_s),
        stays=stays_of(leases, now_s),
        drilled=drilled_accounts(journal, accounts.identity, names, now_s),
        watched=watched(heard, names, accounts.identity, now_s),
    )
