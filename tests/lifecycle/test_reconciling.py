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
from orchestrator.lifecycle.reconciling import Line, Reconciled, by_run, reconcile, to_view
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

    def charge(self, machine_id: str, usd: str | None) -> None:
        amount = None if usd is None else Decimal(usd)
        self.bill.append(Charge(machine_id, NOW_S, NOW_S + 3600, amount))

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


def test_a_run_is_compared_over_all_its_machines(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour(), an_hour("label-1", "m2"))
    record(journal, an_hour("label-2", "m3"), run_id="runid456")
    for machine_id, usd in (("m1", "0.55"), ("m2", "0.62"), ("m3", "0.60")):
        cloud.charge(machine_id, usd)

    first, second = by_run(look(journal, cloud).lines)

    assert (first.run_id, first.machines, first.shared) == (RUN_ID, 2, 0)
    assert (first.ours_usd, first.billed_usd) == (Decimal("1.20"), Decimal("1.17"))
    assert (first.drift_usd, first.differs) == (Decimal("-0.03"), True)
    assert (second.run_id, second.differs) == ("runid456", False)
    assert second.billed_usd == second.ours_usd


def test_runs_that_shared_a_machine_each_bear_what_is_kept_with_them(
    journal: Journal, cloud: Billing
) -> None:
    first = an_hour(state=LeaseState.HANDED, gone_s=NOW_S + 1200)
    second = an_hour(key="label-0+1", sent_s=NOW_S + 1200, began_s=NOW_S + 1200)
    record(journal, first)
    record(journal, second, an_hour("label-1", "m2"), run_id="runid456")
    cloud.charge("m1", "0.57")
    cloud.charge("m2", "0.60")

    lines = by_run(look(journal, cloud).lines)

    assert [(one.machines, one.shared) for one in lines] == [(1, 1), (2, 1)]
    assert [one.billed_usd for one in lines] == [Decimal("0.19"), Decimal("0.98")]
    kept = [journal.run(one.run_id).leases for one in lines]
    assert [one.billed_usd for one in lines] == [
        sum((lease.billed_usd or Decimal(0) for lease in leases), Decimal(0)) for leases in kept
    ]


def test_a_run_with_a_machine_whose_bill_is_unknown_has_no_sum(
    journal: Journal, cloud: Billing
) -> None:
    record(journal, an_hour(), an_hour("label-1", "m2"))
    cloud.charge("m1", "0.55")

    (line,) = by_run(look(journal, cloud).lines)

    assert (line.billed_usd, line.why, line.differs) == (None, "it is not on the bill", False)
    assert line.ours_usd == Decimal("1.20")


def test_a_row_without_an_amount_leaves_its_own_machine_unknown_and_no_other(
    journal: Journal, cloud: Billing
) -> None:
    record(journal, an_hour())
    record(journal, an_hour("label-1", "m2"), run_id="runid456")
    for machine_id, usd in (("m1", "0.30"), ("m1", None), ("m2", "0.55"), ("theirs", None)):
        cloud.charge(machine_id, usd)

    found = look(journal, cloud)

    assert [(line.billed_usd, line.why) for line in found.lines] == [
        (None, "a row of its bill has no amount"),
        (Decimal("0.55"), ""),
    ]
    assert found.failures == ("runpod: 2 rows of its bill have no amount",)
    assert found.others == (("runpod", 1, None),)
    assert journal.run(RUN_ID).leases[0].billed_usd is None
    assert journal.run("runid456").leases[0].billed_usd == Decimal("0.55")


@pytest.mark.parametrize("usd", [None, "0.40"])
def test_a_row_of_nobody_may_be_anyones_and_so_nothing_is_kept(
    journal: Journal, cloud: Billing, usd: str | None
) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.55")
    cloud.charge("", usd)

    found = look(journal, cloud)

    assert only(found).billed_usd == Decimal("0.55")
    assert found.failures == (
        "runpod: a row of its bill has no machine, and may belong to any: the ledger is not "
        "corrected by this bill",
    )
    assert found.others == ()
    assert journal.run(RUN_ID).leases[0].billed_usd is None
    assert accrued_usd(journal.entries()) == Decimal("0.60")


def test_a_program_reads_the_same(journal: Journal, cloud: Billing) -> None:
    record(journal, an_hour())
    cloud.charge("m1", "0.60")

    view = to_view(MONTH, look(journal, cloud), {RUN_ID: "tickets"})

    assert view["machines"][0]["names"] == ["tickets"]
    assert view["machines"][0]["drift_usd"] == "0.00"
    assert view["runs"] == [
        {
            "run": RUN_ID,
            "name": "tickets",
            "machines": 1,
            "shared": 0,
            "estimate_usd": "0.60",
            "billed_usd": "0.60",
            "drift_usd": "0.00",
            "differs": False,
            "why": "",
        }
    ]
    assert view["failures"] == []
