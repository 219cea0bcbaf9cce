from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.budget.price import Price
from orchestrator.budget.traffic import Traffic

GIB = 2**30
PRICE = Price(Decimal("0.40"), Decimal("0.02"), Decimal("0.01"))
PLANNED = Traffic(
    image_bytes=20 * GIB, shipped_bytes=GIB, receives_bytes=4 * GIB, sends_bytes=2 * GIB
)


def test_the_plan_keeps_every_direction() -> None:
    assert PLANNED.planned_usd(PRICE) == Decimal("0.29")  # 25 × 0.01 + 2 × 0.02
    assert PLANNED.upper_usd(PRICE, worked=True) == Decimal("0.29")


def test_without_a_price_for_it_traffic_costs_nothing() -> None:
    free = Price(Decimal("0.40"))

    assert PLANNED.planned_usd(free) == PLANNED.upper_usd(free, worked=True) == 0


def test_a_machine_that_did_no_work_pulled_its_image_at_most() -> None:
    assert PLANNED.upper_usd(PRICE, worked=False) == Decimal("0.20")
    assert PLANNED.cost_usd(PRICE, worked=False) == 0


def test_what_is_counted_above_the_plan_counts_and_the_results_are_still_to_come() -> None:
    heard = PLANNED.heard(100 * GIB, 10 * GIB, lived_s=86_400)

    assert heard.upper_usd(PRICE, worked=True) == Decimal("1.43")  # 121 × 0.01 + 11 × 0.02
    assert heard.cost_usd(PRICE, worked=True) == Decimal("1.21")  # 101 × 0.01 + 10 × 0.02


def test_what_a_machine_says_lowers_nothing_below_the_plan() -> None:
    assert PLANNED.heard(0, 0, lived_s=86_400).upper_usd(PRICE, worked=True) == PLANNED.planned_usd(
        PRICE
    )


@pytest.mark.parametrize("said", [-1.0, 1e300])
def test_an_absurd_count_is_bounded(said: float) -> None:
    heard = PLANNED.heard(said, said, lived_s=86_400)

    assert 0 <= heard.received_bytes <= 10**16
    assert heard.heard(0, 0, lived_s=86_400) == heard


def test_the_next_run_on_the_machine_pays_for_its_own_bytes_alone() -> None:
    first = PLANNED.heard(50 * GIB, 5 * GIB, lived_s=86_400)

    second = first.taken_over(PLANNED)

    assert second.upper_usd(PRICE, worked=True) == Decimal("0.09")  # 5 × 0.01 + 2 × 0.02
    later = second.heard(60 * GIB, 5 * GIB, lived_s=86_400)
    assert later.upper_usd(PRICE, worked=True) == Decimal("0.15")  # 11 × 0.01 + 2 × 0.02
