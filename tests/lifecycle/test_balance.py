from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import ProviderDown
from orchestrator.lifecycle.accounts import Accounts, Purse
from orchestrator.lifecycle.balance import LOOK_S, Purses, balances, heed, runs_dry
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import Bank, SmallCloud, machine
from tests.runs.samples import NOW_S, lease, run


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    opened = Journal(f"sqlite:///{tmp_path / 'store.sqlite'}")
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S)
    opened.add(run(leases=(held,)), [], lambda _: None, 0.0)
    return opened


def purses(bank: SmallCloud, journal: Journal, clock: FakeClock) -> Purses:
    return Purses(Accounts(lambda _: bank, clock), journal, clock)


def held(**changes: object) -> Lease:
    made = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S)
    return replace(made, usd_per_hour=Decimal("0.60"), **changes)  # type: ignore[arg-type]


def purse(usd: str, *, usd_per_hour: str = "0.60") -> Purse:
    return Purse("user:u1", Decimal(usd), Decimal(usd_per_hour), 0.0)


def test_a_balance_is_read_rarely_while_it_is_ample(journal: Journal) -> None:
    bank, clock = Bank("50"), FakeClock(NOW_S)
    watch = purses(bank, journal, clock)

    again = watch.look()

    assert again.seconds == LOOK_S
    assert not again.stays
    found = watch.of(held())
    assert found is not None
    assert (found.usd, found.usd_per_hour) == (Decimal(50), Decimal("1.20"))
    assert bank.asked == 1


def test_a_balance_that_ends_soon_is_read_more_often(journal: Journal) -> None:
    watch = purses(Bank("0.30"), journal, FakeClock(NOW_S))  # a quarter of an hour

    assert 60 <= watch.look().seconds < LOOK_S


@pytest.mark.parametrize("bank", [Bank(None), SmallCloud([machine("m1")])])
def test_where_no_balance_can_be_read_there_is_none(journal: Journal, bank: SmallCloud) -> None:
    watch = purses(bank, journal, FakeClock(NOW_S))

    watch.look()

    assert watch.of(held()) is None


def test_a_reading_that_fails_changes_nothing_and_an_old_one_is_not_believed(
    journal: Journal,
) -> None:
    bank, clock = Bank("50"), FakeClock(NOW_S)
    watch = purses(bank, journal, clock)
    watch.look()
    bank.fault = ProviderDown("down")
    clock.advance(LOOK_S)
    watch.look()
    assert watch.of(held()) is not None

    clock.advance(2 * LOOK_S)

    assert watch.of(held()) is None


def test_another_accounts_balance_says_nothing(journal: Journal) -> None:
    watch = purses(Bank("50"), journal, FakeClock(NOW_S))
    watch.look()

    assert watch.of(held(account="user:u2")) is None


def test_an_account_on_which_nothing_runs_is_not_asked(tmp_path: Path) -> None:
    bank = Bank("50")
    watch = purses(bank, Journal(f"sqlite:///{tmp_path / 'empty.sqlite'}"), FakeClock(NOW_S))

    watch.look()

    assert bank.asked == 0


def test_less_than_twice_what_may_still_burn_is_said_once() -> None:
    # Two hours are left until the deadline: $1.20.
    first, said = heed(run(leases=(held(),)), purse("2.30"), NOW_S, 0.0)
    assert first.lease is not None
    again, nothing = heed(first, purse("2.20"), NOW_S, 0.0)

    assert said == list(first.notes)
    assert "holds $2.30, and this machine may burn $1.20" in said[0]
    assert (again.notes, nothing) == (first.notes, [])
    assert again.lease is not None
    assert again.lease.balance_usd == Decimal("2.20")


def test_twice_what_may_still_burn_is_ample() -> None:
    after, said = heed(run(leases=(held(),)), purse("2.41"), NOW_S, 0.0)

    assert (after.notes, said) == ((), [])


def test_a_reading_grows_old_at_the_rate_of_the_whole_account() -> None:
    assert purse("2.00", usd_per_hour="1.20").left_usd(3600.0) == Decimal("0.80")
    assert purse("1.00", usd_per_hour="1.20").left_usd(3600.0) == 0


def test_the_work_ends_while_the_account_still_pays_for_bringing_it_home() -> None:
    enough, low = purse("0.20"), purse("0.05")  # six minutes at $0.60/h cost $0.06

    assert not runs_dry(held(), enough, 60.0, 0.0)
    assert runs_dry(held(), low, 60.0, 0.0)
    assert runs_dry(held(), enough, 60.0, 900.0)
    assert not runs_dry(held(), None, 60.0, 0.0)
    assert not runs_dry(held(bills=False), low, 60.0, 0.0)


def test_balances_are_those_that_can_be_read() -> None:
    clouds = {"rich": Bank("5"), "mute": Bank(None), "plain": SmallCloud()}
    accounts = Accounts(lambda name: clouds[name], FakeClock(NOW_S))

    assert balances(accounts, clouds) == {"rich": Decimal(5)}
