"""Fields of a provider's JSON, each of the type that was asked for. All are untrusted. Pure."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Mapping
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
MICRO = Decimal("0.000001")


def to_object(value: Any) -> dict[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def to_integer(value: Any) -> int:
    """The whole number, 0 for anything else.

    >>> to_integer(3), to_integer(True), to_integer("3")
    (3, 0, 0)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def to_dollars(value: Any) -> Decimal:
    """Dollars; 0 for what is no amount, below zero or absurd."""
    return to_known_dollars(value) or Decimal(0)


def to_known_dollars(value: Any) -> Decimal | None:
    """Dollars; None for what is no amount, below zero or absurd.

    >>> to_known_dollars(0.5), to_known_dollars(None), to_known_dollars(-1)
    (Decimal('0.5'), None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**6 else None


def to_billed(value: Any) -> Decimal | None:
    """Dollars of a bill's row, 0 where they are paid back; None for what is no amount, or absurd.

    >>> to_billed(0.5), to_billed(-1), to_billed(None)
    (Decimal('0.5'), Decimal('0'), None)
    """
    with contextlib.suppress(InvalidOperation):
        if (number := Decimal(str(value))).is_finite() and number < 0:
            return Decimal(0)
    return to_known_dollars(value)


def with_empty_rows(data: Any, key: str) -> Any:
    """The answer, with {} for each row of its list that is no object: a bill's other rows count.

    >>> with_empty_rows({"records": [{"a": 1}, None]}, "records")
    {'records': [{'a': 1}, {}]}
    """
    rows = to_object(data).get(key)
    return {**data, key: [to_object(row) for row in rows]} if isinstance(rows, list) else data


def to_number(value: Any) -> float | None:
    """A finite number of zero or more; None for anything else.

    >>> to_number(Decimal("0.5")), to_number(None), to_number("7")
    (0.5, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = float(value)
    return number if math.isfinite(number) and number >= 0 else None


def to_host(value: Any) -> str:
    """A host's name or address; "" for anything else.

    >>> to_host("203.0.113.7"), to_host("-oProxyCommand=x")
    ('203.0.113.7', '')
    """
    return value if isinstance(value, str) and _HOST.fullmatch(value) else ""


def to_port(value: Any) -> int:
    """A TCP port; 0 for anything else.

    >>> to_port(40123), to_port("40123"), to_port(70000)
    (40123, 0, 0)
    """
    port = to_integer(value)
    return port if 0 < port < 65536 else 0


def to_gb(gib: int) -> int:
    """Whole decimal gigabytes that hold `gib`.

    >>> to_gb(20)
    22
    """
    return math.ceil(gib * 2**30 / 10**9)


def rounded_up(usd: Decimal) -> Decimal:
    """Dollars to the millionth, never less."""
    return usd.quantize(MICRO, ROUND_UP)


def fingerprint(key: str) -> str:
    """Names a key without giving it away."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def joined_identity(user: str, key_fingerprint: str) -> str:
    """`user:…,key:…`, the key alone where the user is not known.

    >>> joined_identity("", "aa")
    'key:aa'
    """
    facts: Mapping[str, str] = {"user": user, "key": key_fingerprint}
    return ",".join(f"{kind}:{fact}" for kind, fact in facts.items() if fact)
