from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.price import CENT, Price

rates = st.decimals("0.01", "50", places=4)
seconds = st.floats(0, 10**6)
increments = st.sampled_from([1, 60, 3600])


def test_an_hour_costs_the_hourly_rate() -> None:
    assert Price(Decimal("0.69")).for_seconds(3600) == Decimal("0.69")


def test_a_started_increment_is_paid_whole() -> None:
    price = Price(Decimal(36))

    assert price.for_seconds(61, increment_s=60) == price.for_seconds(120)


@pytest.mark.parametrize("no_time_s", [0.0, -5.0])
def test_no_time_costs_nothing(no_time_s: float) -> None:
    assert Price(Decimal(1)).for_seconds(no_time_s) == 0


def test_noise_of_floating_point_starts_no_new_increment() -> None:
    assert Price(Decimal(3600)).for_seconds(60.0000000001, increment_s=60) == 60


@given(rates, seconds, increments)
def test_the_figure_is_never_below_the_exact_product(
    rate: Decimal, time_s: float, increment_s: int
) -> None:
    exact_usd = rate * Decimal(round(time_s, 6)) / 3600

    charged_usd = Price(rate).for_seconds(time_s, increment_s=increment_s)

    assert charged_usd >= exact_usd - Decimal("1e-9")


@given(rates, seconds, seconds, increments)
def test_more_time_never_costs_less(
    rate: Decimal, one_s: float, other_s: float, increment_s: int
) -> None:
    short_s, long_s = sorted((one_s, other_s))
    price = Price(rate)

    assert price.for_seconds(short_s, increment_s=increment_s) <= price.for_seconds(
        long_s, increment_s=increment_s
    )


def test_a_tick_is_an_increment_and_at_least_a_cent() -> None:
    assert Price(Decimal("0.36")).tick_usd(1) == CENT
    assert Price(Decimal("3.60")).tick_usd(60) == Decimal("0.06")
