"""RFC 3339, as RunPod writes and reads it."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.simcloud.runpod.problems import invalid


def timestamp(epoch_s: float) -> str:
    """Whole seconds in UTC.

    >>> timestamp(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_s(text: str, name: str) -> float:
    """The time in a query parameter. Raises: Problem."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name}: must be an RFC 3339 date-time") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
