"""Dollars, durations and sizes in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"


def dollars(amount: str | None) -> str:
    """A decimal string as people write money: cents, and more of them below a dollar.

    >>> dollars("2"), dollars("0.0900"), dollars("0.12834"), dollars("1234.5"), dollars(None)
    ('$2.00', '$0.09', '$0.1283', '$1,234.50', 'none')
    """
    if amount is None:
        return "none"
    try:
        value = Decimal(amount)
    except InvalidOperation:
        return amount
    if abs(value) >= 1:
        return f"${value.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    whole, _, cents = str(value.quantize(Decimal("0.0001"), ROUND_HALF_UP)).partition(".")
    return f"${whole}.{cents.rstrip('0'):0<2}"


def duration(seconds: float) -> str:
    """At most two units.

    >>> duration(4.26), duration(75), duration(3720), duration(90000)
    ('4.3 s', '1m15s', '1h02m', '1d01h')
    """
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def span(low_s: float, high_s: float) -> str:
    """A range of durations in one unit.

    >>> span(24, 620), span(600, 5400), span(5400, 11000), span(100000, 400000)
    ('1-10 min', '10-90 min', '1.5-3.1 h', '28-111 h')
    """
    if high_s < 7200:
        return f"{max(1, round(low_s / 60))}-{max(1, round(high_s / 60))} min"
    digits = 1 if high_s < 86400 else 0
    return f"{low_s / 3600:.{digits}f}-{high_s / 3600:.{digits}f} h"


def size(size_bytes: float) -> str:
    """Bytes in the unit that fits.

    >>> size(512), size(90_900_000)
    ('512 B', '86.7 MiB')
    """
    if size_bytes < 1024:
        return f"{int(size_bytes)} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024 or unit == "GiB":
            break
    return f"{size_bytes:.1f} {unit}"


def number(value: float | str) -> str:
    """A figure of a program with the digits that matter.

    >>> number(0.96543), number(5e-05), number(120), number(117432.0), number("n/a")
    ('0.9654', '5e-05', '120', '117,432', 'n/a')
    """
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def sparkline(points: Sequence[tuple[float, float]], width: int, levels: str = LEVELS) -> str:
    """Points (x, y) by rising x as `width` characters; each is as high as its share's mean.

    >>> sparkline([(0, 8.0), (1, 4.0), (2, 2.0), (3, 1.0)], 4), sparkline([(5, 1.0), (9, 1.0)], 3)
    ('█▄▂▁', '▁▁▁')
    """
    first, last = points[0][0], points[-1][0]
    shares: list[list[float]] = [[] for _ in range(width)]
    for x, y in points:
        share = (x - first) / (last - first) if last > first else 0.0
        shares[min(int(share * width), width - 1)].append(y)
    heights: list[float] = []
    for ys in shares:
        heights.append(sum(ys) / len(ys) if ys else heights[-1])
    low, high = min(heights), max(heights)
    spread = high - low or 1.0
    return "".join(levels[round((y - low) / spread * (len(levels) - 1))] for y in heights)


def moment(utc: str | None) -> str:
    """UTC text for reading.

    >>> moment("2027-01-15T08:00:05Z")
    '2027-01-15 08:00:05 UTC'
    """
    return utc.replace("T", " ").replace("Z", " UTC") if utc else "-"


def minute(utc: str | None) -> str:
    """The same for a narrow column.

    >>> minute("2027-01-15T08:00:05Z")
    '01-15 08:00'
    """
    return utc[5:16].replace("T", " ") if utc else "-"
