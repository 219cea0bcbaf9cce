from __future__ import annotations

import doctest
import sys

import pytest

from tests.benchmarks import ratio
from tests.benchmarks.ratio import Row, compare, cpu_ms


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(ratio).failed == 0


def test_both_sides_are_measured_in_turn_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    ours, bare = iter([99.0, 3.0, 1.0, 2.0]), iter([99.0, 10.0, 30.0, 20.0])

    def take(name: str, figures: object) -> float:
        order.append(name)
        return next(ours if figures is ours else bare)

    medians = compare(lambda: take("ours", ours), lambda: take("bare", bare), runs=3)

    assert medians == (2.0, 20.0)
    assert order == ["ours", "bare"] * 4


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (Row("x", 80, 10, "ms", limit=8), True),
        (Row("x", 81, 10, "ms", limit=8), False),
        (Row("x", 2.1, None, "s", limit=2), False),
        (Row("x", 1e9, 1, "ms"), True),
    ],
)
def test_a_figure_over_its_limit_is_not_good(row: Row, good: bool) -> None:
    assert row.good is good


def test_work_costs_more_cpu_than_none_and_a_failure_is_no_figure() -> None:
    work = "sum(range(3_000_000))"

    assert cpu_ms([sys.executable, "-c", work]) > cpu_ms([sys.executable, "-c", "pass"])
    with pytest.raises(RuntimeError, match="ended with 3"):
        cpu_ms([sys.executable, "-c", "raise SystemExit(3)"])
