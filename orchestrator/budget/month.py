"""Calendar months in UTC, in which limits count and statements are made. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.errors import UsageError

_WRITTEN = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True, slots=True)
class Month:
    """One month; holds the moments from its first second to before the next month's."""

    year: int
    number: int  # 1 to 12

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def start_s(self) -> float:
        """Its first moment, in epoch seconds."""
        return datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()

    @property
    def end_s(self) -> float:
        """The first moment after it, in epoch seconds."""
        years, months = divmod(self.number, 12)
        return datetime(self.year + years, months + 1, 1, tzinfo=UTC).timestamp()


def month_of(epoch_s: float) -> Month:
    """The month of a moment.

    >>> str(month_of(1_800_000_000))
    '2027-01'
    """
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return Month(moment.year, moment.month)


def parse_month(text: str) -> Month:
    """A month as people write it. Raises: UsageError.

    >>> parse_month("2026-12").end_s == parse_month("2027-01").start_s
    True
    """
    match = _WRITTEN.fullmatch(text)
    if match is None or not (1 <= int(match[2]) <= 12 and int(match[1]) >= 1970):
        raise UsageError(f"{text!r} is no month", hint="write it as 2026-11")
    return Month(int(match[1]), int(match[2]))
