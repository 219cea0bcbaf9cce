"""All providers asked at once; one that fails, or takes too long, never hides the others."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait

from orchestrator.errors import GpuleaseError, ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.offers.offer import Offer
from orchestrator.spec.resources import Need

LIMIT_S = 60.0


def ask_all(
    accounts: Accounts, names: Iterable[str], need: Need, *, limit_s: float = LIMIT_S
) -> tuple[list[Offer], dict[str, GpuleaseError]]:
    """Offers of every provider, and what went wrong with each that did not answer in time."""
    offers: list[Offer] = []
    failures: dict[str, GpuleaseError] = {}
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return offers, failures
    pool = ThreadPoolExecutor(len(wanted))
    try:
        asked = {name: pool.submit(_offers, accounts, name, need) for name in wanted}
        late = wait(asked.values(), timeout=limit_s).not_done
        for name, answer in asked.items():
            if answer in late:
                failures[name] = ProviderDown(f"no answer within {limit_s:.0f} s")
                continue
            try:
                offers += answer.result()
            except GpuleaseError as error:
                failures[name] = error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # each call has its own limit, and ends
    return offers, failures


def _offers(accounts: Accounts, name: str, need: Need) -> list[Offer]:
    return accounts.provider(name).list_offers(need)
