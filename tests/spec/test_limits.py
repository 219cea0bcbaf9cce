from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.limits import Budget, format_duration, parse_duration_s, parse_usd


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("0s", 0),
    ],
)
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "m", "1m1h", "1.2.3h", ".h", "-1h", "1 hour", "0.5s", "1e3s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration_s(text)


@given(st.integers(min_value=0, max_value=10**8))
def test_a_formatted_duration_reads_back_the_same(seconds: int) -> None:
    assert parse_duration_s(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "usd"), [("2", "2"), ("2.00", "2.00"), ("$2", "2"), ("0.1", "0.1")]
)
def test_money_is_exactly_what_was_written(text: str, usd: str) -> None:
    assert str(parse_usd(text)) == usd


@pytest.mark.parametrize(
    "text", ["", "two", "-1", "1e3", "2 EUR", "1,000", "0x10", "nan", "$$2", "2."]
)
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be dollars"):
        parse_usd(text)


def test_a_budget_without_a_cost_leaves_it_to_the_plan() -> None:
    assert Budget.model_validate({}).max_cost_usd is None
    assert Budget.model_validate({"max_cost": "2.50"}).max_cost_usd == Decimal("2.50")
