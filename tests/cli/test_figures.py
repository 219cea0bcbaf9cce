from __future__ import annotations

import pytest

from orchestrator.cli.figures import dollars, duration, minute, moment, number, size, span


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0.00"), ("0.00004", "$0.00"), ("0.069", "$0.069"), ("12.345", "$12.35")],
)
def test_dollars_keep_the_digits_that_matter(amount: str, text: str) -> None:
    assert dollars(amount) == text


def test_a_figure_that_is_none_is_shown_as_it_came() -> None:
    assert dollars("free") == "free"
    assert moment(None) == minute(None) == "-"


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0.0 s"), (59.4, "59 s"), (3599.7, "1h00m")])
def test_durations_round_into_the_next_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_stop_at_gib() -> None:
    assert size(5 * 1024**4) == "5120.0 GiB"


def test_numbers_of_a_program_are_short() -> None:
    assert number(1234567.0) == "1,234,567"
    assert number(1e300) == "1e+300"


def test_a_range_shorter_than_a_minute_is_a_minute() -> None:
    assert span(2, 20) == "1-1 min"
