from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import Entry, EntryKind, accrued_usd
from orchestrator.budget.month import Month, month_of
from orchestrator.clock import FakeClock
from orchestrator.errors import ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.reconciling import Line, Reconciled, reconcile, to_view
from orchestrator.providers.base import Charge
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud
from tests.runs.samples import NOW_S, RUN_ID, lease, run

LAG_S = 300.0
LATER_S = NOW_S + 3600 + 2 * LAG_S
MONTH = month_of(NOW_S)


class Billing(SmallCloud):
    """A cloud with a bill, which one account sees."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, billing_lag_s=LAG_S)
        self.bill: list[Charge] = []
        self.who = "user:u1"

    def identity(self) -> str:
        return self.who

    def balance_usd(self) -> Decimal | None:
        return None

    def charge(self, machine_id: str, usd: str, *, after_s: float = 0.0) -> None:
        began_s = NOW_S + after_s
        self.bill.append(Charge(machine_id, began_s, began_s + 3600, Decimal(usd)))

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        self._fail()
        return [one for one in self.bill if one.end_s >= since_s and one.start_s <= until_s]


@pytest.fixture
def cloud() -> Billing:
    return Billing()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def an_hour(key: str = "label-0", machine_id: str = "m1", **changes: object) -> Lease:
    """The lease of a machine that was there for an hour at $0.60."""
    ended = lease(
        state=LeaseState.CLOSED,
        key=key,
        machine_id=machine_id,
        sent_s=NOW_S,
        began_s=NOW_S,
        gone_s=NOW_S + 3600,
        usd_per_hour=Decimal("0.60"),
        account="user:u1",
    )
    return replace(ended, **changes)  # type: ignore[arg-type]


def record(journal: Journal, *leases: Lease, run_id: str = RUN_ID) -> None:
    """An ended run, and what its machines cost at most in the ledger."""
    leases = tuple(replace(one, run_id=run_id) for one in leases)
    ended = run(id=run_id, state=State.ENDED, outcome=Outcome.SUCCEEDED, leases=leases)
    upper = [
        Entry(one.gone_s or 0.0, run_id, EntryKind.ACCRUED, one.upper_usd(NOW_S), one.key)
        for one in leases
    ]
    journal.add(replace(ended, name=run_id), upper, lambda _: None, 0.0)


def look(
    journal: Journal, cloud: Billing, *, now_s: float = LATER_S, month: Month = MONTH
) -> Reconciled:
    accounts = Accounts(lambda _: cloud, FakeClock(now_s))
    return reconcile(journal, accounts, month, now_s)


def only(found: Reconciled) -> Line:
    (line,) = found.lines
    return line


def test_the_bill_is_kept_with_the_machine_and_corrects_the_ledger_once(
    journal: Journal, cloud: Billing
) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.25")
    cloud.charge("m1", "0.30")

    first, second = look(journal, cloud), look(journal, cloud)

    assert (only(first).ours_usd, only(first).billed_usd) == (Decimal("0.60"), Decimal("0.55"))
    assert only(first).differs
    assert only(second).billed_usd == Decimal("0.55")
    kept = journal.run(RUN_ID)
    assert kept.leases[0].billed_usd == Decimal("0.55")
    assert kept.upper_usd(LATER_S) == kept.cost_usd(LATER_S) == Decimal("0.55")
    entries = journal.entries(run_id=RUN_ID)
    assert [entry.kind for entry in entries] == [EntryKind.ACCRUED, EntryKind.CORRECTED]
    assert accrued_usd(entries) == Decimal("0.55")


def test_a_bill_above_the_upper_figure_is_counted_in_full(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.90")

    line = only(look(journal, cloud))

    assert (line.drift_usd, line.differs) == (Decimal("0.30"), True)
    assert accrued_usd(journal.entries()) == Decimal("0.90")


def test_what_differs_by_rounding_is_no_drift(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.601")

    assert not only(look(journal, cloud)).differs


def test_a_bill_that_may_not_be_complete_is_not_kept(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.25")

    line = only(look(journal, cloud, now_s=LATER_S - 61))

    assert (line.billed_usd, line.why) == (None, "its bill is complete in about 1 min")
    assert journal.run(RUN_ID).leases[0].billed_usd is None


def test_a_machine_without_a_record_is_not_called_free(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())

    line = only(look(journal, cloud))

    assert (line.billed_usd, line.why) == (None, "it is not on the bill")
    assert accrued_usd(journal.entries()) == Decimal("0.60")


def test_one_machine_of_two_runs_is_compared_as_one(journal: Journal, cloud: Billing) -> None:
    first = an_hour(state=LeaseState.HANDED, gone_s=NOW_S + 1200)
    second = an_hour(key="label-0+1", sent_s=NOW_S + 1200, began_s=NOW_S + 1200)
    record(journal, first)
    record(journal, second, run_id="runid456")
    cloud.charge("m1", "0.57")

    line = only(look(journal, cloud))

    assert (line.ours_usd, line.billed_usd) == (Decimal("0.60"), Decimal("0.57"))
    shares = [journal.run(one).leases[0].billed_usd for one in (RUN_ID, "runid456")]
    assert shares == [Decimal("0.19"), Decimal("0.38")]


def test_what_others_rented_is_told_and_what_is_ours_of_another_month_is_not(
    journal: Journal, cloud: Billing
) -> None:
    record(journal, an_hour())
    record(journal, an_hour("label-1", "m0", gone_s=NOW_S - 40 * 86400), run_id="runid456")
    cloud.charge("m1", "0.60")
    cloud.charge("m0", "0.60")
    cloud.charge("theirs", "2.00")
    cloud.charge("theirs", "1.00")

    assert look(journal, cloud).others == (("runpod", 1, Decimal("3.00")),)


def test_another_accounts_key_and_a_provider_that_is_down_prove_nothing(
    journal: Journal, cloud: Billing
) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.10")
    cloud.who = "user:u2"
    foreign = look(journal, cloud)
    cloud.who, cloud.fault = "user:u1", ProviderDown("no answer")
    down = look(journal, cloud)

    assert "belongs to another account" in foreign.failures[0]
    assert down.failures == ("runpod: no answer",)
    assert only(foreign).billed_usd is only(down).billed_usd is None
    assert journal.run(RUN_ID).leases[0].billed_usd is None


def test_a_program_reads_the_same(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.60")

    view = to_view(MONTH, look(journal, cloud), {RUN_ID: "tickets"})

    assert view["machines"][0]["names"] == ["tickets"]
    assert view["machines"][0]["drift_usd"] == "0.00"
    assert view["failures"] == []
