"""Durations, money, and the limits of one job."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from orchestrator.spec.document import WrittenFloat, WrittenInt
from orchestrator.spec.section import Section, wrong

MOST_USD = Decimal(100_000)
MOST_S = 30 * 86_400.0

_DURATION = re.compile(r"(?:([\d.]+)d)? ?(?:([\d.]+)h)? ?(?:([\d.]+)m)? ?(?:([\d.]+)s)?")
_UNIT_S = (86_400, 3_600, 60, 1)
_MONEY = re.compile(r"\$?(\d{1,9}(?:\.\d{1,6})?)")


def parse_duration_s(text: str) -> float:
    """Seconds of `45s`, `15m`, `2h`, `1h30m`, `1.5h` or `2d`; whole seconds only.

    Raises: ValueError with a reason in words.

    >>> parse_duration_s("1h30m")
    5400.0
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError("must be a duration such as 45s, 15m, 2h or 1h30m")
    try:
        parts = [Decimal(amount or 0) for amount in match.groups()]
    except InvalidOperation as error:
        raise ValueError("must be a duration such as 45s, 15m, 2h or 1h30m") from error
    seconds = sum((part * unit for part, unit in zip(parts, _UNIT_S, strict=True)), Decimal(0))
    if seconds != int(seconds):
        raise ValueError("must be whole seconds")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration_s` reads back.

    >>> format_duration(5400), format_duration(0), format_duration(90061)
    ('1h30m', '0s', '1d1h1m1s')
    """
    left, words = int(seconds), ""
    for letter, unit_s in zip("dhms", _UNIT_S, strict=True):
        amount, left = divmod(left, unit_s)
        words += f"{amount}{letter}" if amount else ""
    return words or "0s"


def parse_usd(text: str) -> Decimal:
    """Dollars of `2`, `2.00` or `$2`, exactly as written.

    Raises: ValueError with a reason in words.

    >>> parse_usd("$0.1")
    Decimal('0.1')
    """
    match = _MONEY.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be dollars such as 2, 2.50 or $2.50")
    return Decimal(match[1])


def _read_duration(raw: object) -> float:
    if not isinstance(raw, str):
        raise wrong("must be a duration with its unit, such as 45s, 15m, 2h or 1h30m")
    try:
        return parse_duration_s(raw)
    except ValueError as error:
        raise wrong(str(error)) from error


def _read_usd(raw: object) -> Decimal:
    text = raw.text if isinstance(raw, WrittenInt | WrittenFloat) else raw
    try:
        return parse_usd(text if isinstance(text, str) else "")
    except ValueError as error:
        raise wrong(str(error)) from error


def _within(least_s: float, most_s: float = MOST_S) -> AfterValidator:
    def check(seconds: float) -> float:
        if not least_s <= seconds <= most_s:
            raise wrong(f"must be {format_duration(least_s)} to {format_duration(most_s)}")
        return seconds

    return AfterValidator(check)


def _affordable(usd: Decimal) -> Decimal:
    if not 0 < usd <= MOST_USD:
        raise wrong(f"must be more than $0 and at most ${MOST_USD}")
    return usd


_Duration = Annotated[
    float,
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["15m", "2h", "1h30m"]}),
]
Hold = Annotated[_Duration, _within(0)]
Interval = Annotated[_Duration, _within(10)]
Usd = Annotated[
    Decimal,
    BeforeValidator(_read_usd),
    AfterValidator(_affordable),
    WithJsonSchema({"type": ["number", "string"], "examples": [2, "2.50"]}),
]


class Budget(Section):
    """The most that one job may cost and last."""

    max_cost_usd: Usd | None = Field(default=None, alias="max_cost")
    max_duration_s: Interval = Field(
        default=6 * 3600.0, alias="max_duration", json_schema_extra={"default": "6h"}
    )
