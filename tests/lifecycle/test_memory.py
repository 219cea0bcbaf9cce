from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.heartbeat import Heartbeat
from orchestrator.lifecycle.memory import recall
from orchestrator.offers.offer import Bid
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud
from tests.runs.samples import NOW_S, launch, lease, offer, run


class Bank(SmallCloud):
    """A cloud that says who asks, and what the account holds."""

    def identity(self) -> str:
        return "user:u1"

    def balance_usd(self) -> Decimal | None:
        return Decimal(7)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def test_balances_boots_and_drills_are_remembered(journal: Journal) -> None:
    failed = lease(state=LeaseState.CLOSED, failed_boot_s=NOW_S - 60, key="label-1")
    drill = lease(state=LeaseState.CLOSED, machine_id="m1", gone_s=NOW_S, returned_by="machine")
    ended = run(state=State.ENDED, outcome=Outcome.SUCCEEDED, leases=(failed, drill))
    named = replace(ended, name="drill-runpod", launch=replace(launch(), drill=True))
    journal.add(named, [], lambda _: None, 0.0)

    known = recall(Accounts(lambda _: Bank(), FakeClock()), journal, ["runpod"], NOW_S)

    assert known.balances == {"runpod": Decimal(7)}
    assert [(boot.failed, boot.at_s) for boot in known.boots] == [(True, NOW_S - 60)]
    assert known.drilled == {"runpod"}


def test_how_long_bids_held_is_remembered(journal: Journal) -> None:
    bid = replace(offer(), bid=Bid(Decimal("0.20")))
    taken = lease(state=LeaseState.CLOSED, offer=bid, machine_id="m1", sent_s=NOW_S - 3600)
    taken = replace(taken, reclaimed_s=NOW_S, gone_s=NOW_S)
    journal.add(run(state=State.ENDED, leases=(taken,)), [], lambda _: None, 0.0)

    known = recall(Accounts(lambda _: Bank(), FakeClock()), journal, ["runpod"], NOW_S)

    assert [(stay.hours, stay.reclaimed) for stay in known.stays] == [(1.0, True)]


def test_a_reaper_elsewhere_counts_while_its_sign_can_be_read(journal: Journal) -> None:
    accounts = Accounts(lambda _: Bank(), FakeClock())

    def nowhere() -> Heartbeat:
        raise HomeError("no such folder")

    known = recall(
        accounts, journal, ["runpod"], NOW_S, lambda: Heartbeat(NOW_S, {"runpod": "user:u1"})
    )
    unknown = recall(accounts, journal, ["runpod"], NOW_S, nowhere)

    assert known.watched == {"runpod"}
    assert unknown.watched == frozenset()
