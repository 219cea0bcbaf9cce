"""All providers asked at once; one that fails never hides the others."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.offers.offer import Offer
from orchestrator.spec.resources import Need

_LIMIT_S = 60.0


def ask_all(
    accounts: Accounts, names: Iterable[str], need: Need
) -> tuple[list[Offer], dict[str, GpuleaseError]]:
    """Offers of every provider, and what went wrong with each that did not answer."""
    offers: list[Offer] = []
    failures: dict[str, GpuleaseError] = {}
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return offers, failures
    with ThreadPoolExecutor(len(wanted)) as pool:
        asked = {name: pool.submit(_offers, accounts, name, need) for name in wanted}
        for name, answer in asked.items():
            try:
                offers += answer.result(timeout=_LIMIT_S)
            except GpuleaseError as error:
                failures[name] = error
    return offers, failures


def _offers(accounts: Accounts, name: str, need: Need) -> list[Offer]:
    return accounts.provider(name).list_offers(need)
