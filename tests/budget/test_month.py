from __future__ import annotations

import pytest

from orchestrator.budget.month import Month, month_of, parse_month
from orchestrator.errors import UsageError
from tests.runs.samples import NOW_S


def test_a_month_starts_at_its_first_second_in_utc() -> None:
    assert month_of(NOW_S) == Month(2027, 1)
    assert month_of(NOW_S).start_s == 1_798_761_600.0
    assert month_of(1_798_761_599.0) == Month(2026, 12)
    assert month_of(1_798_761_599.0).end_s == 1_798_761_600.0


@pytest.mark.parametrize("text", ["", "2027", "2027-13", "2027-00", "27-01", "2027-1", "0000-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no month"):
        parse_month(text)
