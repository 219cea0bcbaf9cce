from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.caps import (
    GRACE_S,
    LEAST_WORK_S,
    RETURN_S,
    Terms,
    must_return,
    must_stop,
    terms,
    unpaid,
)
from orchestrator.budget.price import Price
from orchestrator.errors import BudgetRefused

PRICE = Price(Decimal("0.60"))  # a cent a minute
MICRO_USD = Decimal("0.000001")  # prices are rounded up to it


def lived(seconds: float, increment_s: int = 1) -> Callable[[float], Decimal]:
    """The upper figure of a machine that has lived so long."""
    return lambda ahead_s: PRICE.for_seconds(seconds + ahead_s, increment_s=increment_s)


@given(
    rate=st.decimals("0.01", "50", places=4),
    cap_usd=st.decimals("0.05", "200", places=2),
    spent_share=st.decimals("0", "1", places=2),
    max_duration_s=st.floats(60, 10**6),
    hold_s=st.floats(0, 7200),
    collect_s=st.floats(0, 3600),
    increment_s=st.sampled_from([1, 60, 3600]),
)
def test_the_worst_case_never_passes_what_is_left_of_the_cap(
    rate: Decimal,
    cap_usd: Decimal,
    spent_share: Decimal,
    max_duration_s: float,
    hold_s: float,
    collect_s: float,
    increment_s: int,
) -> None:
    price, left_usd = Price(rate), cap_usd - cap_usd * spent_share
    try:
        fitted = terms(
            price,
            cap_usd=cap_usd,
            max_duration_s=max_duration_s,
            hold_s=hold_s,
            collect_s=collect_s,
            spent_usd=cap_usd * spent_share,
            increment_s=increment_s,
        )
    except BudgetRefused:
        return
    bill_usd = price.for_seconds(fitted.deadline_s + RETURN_S, increment_s=increment_s)

    assert bill_usd <= left_usd + MICRO_USD
    assert fitted.worst_usd <= left_usd
    assert LEAST_WORK_S <= fitted.work_s <= max_duration_s
    assert fitted.deadline_s >= fitted.work_s + GRACE_S + collect_s + hold_s - 1e-6


def test_a_wide_cap_leaves_the_work_its_whole_duration() -> None:
    fitted = terms(PRICE, cap_usd=Decimal(100), max_duration_s=3600, hold_s=600, collect_s=60)

    assert (fitted.work_s, fitted.capped) == (3600, False)
    assert fitted.worst_usd == PRICE.for_seconds(3600 + GRACE_S + 60 + 600 + RETURN_S)
    assert fitted.reserve_usd == PRICE.for_seconds(GRACE_S + 60 + 600 + RETURN_S)


def test_what_earlier_machines_cost_shortens_the_work() -> None:
    def work_s(spent_usd: str) -> float:
        return terms(
            PRICE,
            cap_usd=Decimal(1),
            max_duration_s=36_000,
            hold_s=0,
            collect_s=0,
            spent_usd=Decimal(spent_usd),
        ).work_s

    assert work_s("0") - work_s("0.10") == 600


def test_a_machine_that_costs_nothing_is_never_capped() -> None:
    free = Price(Decimal(0))

    fitted = terms(free, cap_usd=Decimal(0), max_duration_s=3600, hold_s=60, collect_s=60)

    assert fitted.work_s == 3600
    assert fitted.worst_usd == 0
    assert not fitted.capped
    assert not must_stop(lambda ahead_s: Decimal(0), cap_usd=Decimal(0), collect_s=60)
    assert not must_return(lambda ahead_s: Decimal(0), cap_usd=Decimal(0))


def test_a_cap_without_a_minute_of_work_is_refused_with_a_way_out() -> None:
    with pytest.raises(BudgetRefused, match="does not pay for a minute") as caught:
        terms(PRICE, cap_usd=Decimal("0.05"), max_duration_s=3600, hold_s=1800, collect_s=60)

    assert "budget.max_cost" in caught.value.hint


def test_the_work_stops_while_collecting_and_returning_still_fit() -> None:
    rest_s = GRACE_S + 60 + RETURN_S + 15

    assert must_stop(lived(6001 - rest_s), cap_usd=Decimal(1), collect_s=60)
    assert not must_stop(lived(6000 - rest_s), cap_usd=Decimal(1), collect_s=60)


def test_the_machine_goes_back_while_the_return_itself_still_fits() -> None:
    assert must_return(lived(6000 - RETURN_S), cap_usd=Decimal(1))
    assert not must_return(lived(5999 - RETURN_S), cap_usd=Decimal(1))


def test_an_hour_that_is_paid_for_may_be_used_to_its_end() -> None:
    cap_usd = 2 * PRICE.usd_per_hour  # two whole hours
    rest_s = GRACE_S + 60 + RETURN_S + 15

    for began_s in (3601, 7200 - rest_s):
        assert not must_stop(lived(began_s, 3600), cap_usd=cap_usd, collect_s=60)
        assert not must_return(lived(began_s, 3600), cap_usd=cap_usd)
    assert must_stop(lived(7201 - rest_s, 3600), cap_usd=cap_usd, collect_s=60)
    assert must_return(lived(7201 - RETURN_S, 3600), cap_usd=cap_usd)


def test_less_than_a_minute_of_max_duration_is_refused_in_its_own_name() -> None:
    with pytest.raises(BudgetRefused, match="max_duration leaves 59 s"):
        terms(PRICE, cap_usd=Decimal(5), max_duration_s=59, hold_s=60, collect_s=60)


def test_what_traffic_may_cost_shortens_the_work_and_belongs_to_the_worst_case() -> None:
    def fitted(traffic_usd: str) -> Terms:
        return terms(
            PRICE,
            cap_usd=Decimal(1),
            max_duration_s=36_000,
            hold_s=0,
            collect_s=0,
            traffic_usd=Decimal(traffic_usd),
        )

    assert fitted("0").work_s - fitted("0.10").work_s == 600
    assert fitted("0.10").worst_usd == fitted("0").worst_usd <= 1


def test_traffic_that_leaves_no_minute_of_work_is_named() -> None:
    with pytest.raises(BudgetRefused, match=r"\$0.90 of it for traffic"):
        terms(
            PRICE,
            cap_usd=Decimal(1),
            max_duration_s=3600,
            hold_s=1800,
            collect_s=60,
            traffic_usd=Decimal("0.90"),
        )


def test_an_account_that_may_not_run_dry_must_hold_more_than_the_worst_case() -> None:
    def why(balance_usd: str) -> str:
        return unpaid(PRICE, Decimal(1), Decimal(balance_usd), spare=1.2)

    assert why("1.20") == ""
    assert "1.2 times the worst case of $1.00" in why("1.19")
    assert why("0.99") == unpaid(PRICE, Decimal(1), Decimal("0.99"))
