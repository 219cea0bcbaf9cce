"""What this home remembers, and its accounts tell, beside the offers themselves."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.balance import balances
from orchestrator.lifecycle.boots import boots_of
from orchestrator.lifecycle.drill import drilled_accounts
from orchestrator.lifecycle.plan import Known
from orchestrator.store.journal import Journal


def recall(accounts: Accounts, journal: Journal, names: Iterable[str], now_s: float) -> Known:
    """Of these accounts: balances, which machines came up of late, and whose guard was drilled.

    The same for a plan that a person sees and for one that a waiting run makes later.
    Raises: as a provider that is asked for its identity.
    """
    names = list(names)
    return Known(
        balances=balances(accounts, names),
        boots=boots_of(journal.leases(), now_s),
        drilled=drilled_accounts(journal, accounts.identity, names, now_s),
    )
