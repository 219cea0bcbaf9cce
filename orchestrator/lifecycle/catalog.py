"""All providers asked at once; one that fails, or takes too long, never hides the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable

from orchestrator.clock import SystemClock
from orchestrator.errors import GpuleaseError, ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.offers.offer import Offer
from orchestrator.spec.resources import Need

LIMIT_S = 60.0

_Answer = list[Offer] | BaseException


def ask_all(
    accounts: Accounts, names: Iterable[str], need: Need, *, limit_s: float = LIMIT_S
) -> tuple[list[Offer], dict[str, GpuleaseError]]:
    """Offers of every provider, and what went wrong with each that did not answer in time."""
    wanted = list(dict.fromkeys(names))
    answers: queue.SimpleQueue[tuple[str, _Answer]] = queue.SimpleQueue()
    for name in wanted:
        # No pool: a process that ends must not wait for whoever never answers.
        threading.Thread(target=_ask, args=(accounts, name, need, answers), daemon=True).start()
    found: dict[str, _Answer] = {}
    clock = SystemClock()  # threads know no simulated one
    until_s = clock.awake_s() + limit_s
    while len(found) < len(wanted):
        try:
            name, answer = answers.get(timeout=max(0.0, until_s - clock.awake_s()))
        except queue.Empty:
            break
        found[name] = answer
    offers: list[Offer] = []
    failures: dict[str, GpuleaseError] = {}
    for name in wanted:
        answer = found.get(name, ProviderDown(f"no answer within {limit_s:.0f} s"))
        if isinstance(answer, GpuleaseError):
            failures[name] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            offers += answer
    return offers, failures


def _ask(
    accounts: Accounts, name: str, need: Need, answers: queue.SimpleQueue[tuple[str, _Answer]]
) -> None:
    try:
        answers.put((name, accounts.provider(name).list_offers(need)))
    except BaseException as error:  # raised again by whoever asked
        answers.put((name, error))
