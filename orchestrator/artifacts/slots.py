"""The slots into which a machine may write: one signed URL for one key each. Pure."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.agent import protocol

_PART_BYTES = 256 << 20
_SPARE = 400  # log, events, checkpoints; and own code may write more than was expected
_MOST = 2000
MARGIN_S = 900.0  # clocks differ, and a part that is on its way may arrive late


def slot_count(expected_bytes: int) -> int:
    """Slots for twice the bytes that are expected.

    A slot takes up to 4 GiB: where more comes than was expected, parts only get larger.

    >>> slot_count(0), slot_count(10 << 30)
    (400, 480)
    """
    return min(_MOST, _SPARE + -(-2 * expected_bytes // _PART_BYTES))


def slot_key(number: int) -> str:
    """The key of a slot, relative to its machine's folder in the bucket."""
    return f"{protocol.SLOT_PREFIX}{number:05d}"


def slots_record(
    sign: Callable[[str, int], str], *, count: int, until_s: float, now_s: float
) -> dict[str, object]:
    """SLOTS of agent/protocol.py, every URL good until `until_s`, and for nothing but its key.

    Args:
        sign: the URL with which the object of a key may be written for some seconds.
    """
    seconds = int(until_s - now_s)

    def slot(key: str) -> dict[str, str]:
        return {"key": key, "url": sign(key, seconds)}

    return {
        "protocol": protocol.PROTOCOL,
        "ends_at": now_s + seconds,
        "part_bytes": _PART_BYTES,
        "index": slot(protocol.INDEX_FILE),
        "slots": [slot(slot_key(number)) for number in range(1, count + 1)],
    }
