"""How fast results came home of late, and the time that is kept for that under the cap. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.runs.lease import Lease

HOME_BYTES_PER_S = 2e6  # until measured: a slow home line
_SLOWEST, _FASTEST = 2e5, 12.5e6  # a line at its worst, and what no line of the next run owes us
_LEAST_BYTES = 16 << 20  # less measures how far a machine is, not how wide the line
_RECENT = 5
_LEAST_S = 30.0


def home_bytes_per_s(leases: Iterable[Lease]) -> float:
    """The slowest of the last few times that results of a rented machine came home.

    What comes from a computer of one's own says nothing of the line to a cloud.
    """
    told = [one for one in leases if one.bills and one.pulled_bytes >= _LEAST_BYTES]
    told.sort(key=lambda lease: lease.sent_s or 0.0)
    rates = [one.pulled_bytes / one.pulled_s for one in told[-_RECENT:] if one.pulled_s > 0]
    return min(_FASTEST, max(_SLOWEST, min(rates))) if rates else HOME_BYTES_PER_S


def collect_s(result_bytes: int, bytes_per_s: float = HOME_BYTES_PER_S) -> float:
    """Seconds to bring results home."""
    return max(_LEAST_S, result_bytes / bytes_per_s)
