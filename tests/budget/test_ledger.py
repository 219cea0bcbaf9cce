from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.ledger import (
    Entry,
    EntryKind,
    Limits,
    Standing,
    accrued_usd,
    check_limits,
    committed_usd,
)
from orchestrator.errors import BudgetRefused

dollars = st.decimals("0", "1000", places=6)
LIMITS = Limits(month_usd=Decimal(10), machines=2, burn_usd_per_hour=Decimal(3))


def entry(kind: EntryKind, usd: Decimal) -> Entry:
    return Entry(1.0, "runid123", kind, usd)


@given(st.lists(dollars))
def test_a_commitment_that_is_released_leaves_nothing(sums: list[Decimal]) -> None:
    taken = [entry(EntryKind.COMMITTED, usd) for usd in sums]
    freed = [entry(EntryKind.RELEASED, usd) for usd in sums]

    assert committed_usd(taken + freed) == 0
    assert committed_usd(taken) == sum(sums)


def test_spent_and_committed_money_are_counted_apart() -> None:
    entries = [
        entry(EntryKind.COMMITTED, Decimal(5)),
        entry(EntryKind.ACCRUED, Decimal(2)),
        entry(EntryKind.CORRECTED, Decimal(1)),
        entry(EntryKind.RELEASED, Decimal(4)),
    ]

    assert committed_usd(entries) == 1
    assert accrued_usd(entries) == 3


def test_the_last_dollar_of_the_month_may_be_committed_and_no_cent_more() -> None:
    standing = Standing(accrued_usd=Decimal(4), committed_usd=Decimal(3))

    check_limits(LIMITS, standing, worst_usd=Decimal(3), usd_per_hour=Decimal(1))
    with pytest.raises(BudgetRefused, match=r"pass the limit of \$10.00 a month"):
        check_limits(LIMITS, standing, worst_usd=Decimal("3.01"), usd_per_hour=Decimal(1))


def test_the_last_machine_may_be_rented_and_no_other() -> None:
    check_limits(LIMITS, Standing(machines=1), worst_usd=Decimal(1), usd_per_hour=Decimal(1))
    with pytest.raises(BudgetRefused, match="2 machines are open already"):
        check_limits(LIMITS, Standing(machines=2), worst_usd=Decimal(1), usd_per_hour=Decimal(1))


def test_the_burn_rate_counts_the_new_machine_too() -> None:
    standing = Standing(machines=1, burn_usd_per_hour=Decimal(2))

    check_limits(LIMITS, standing, worst_usd=Decimal(1), usd_per_hour=Decimal(1))
    with pytest.raises(BudgetRefused, match=r"\$3.01 an hour would burn"):
        check_limits(LIMITS, standing, worst_usd=Decimal(1), usd_per_hour=Decimal("1.01"))
