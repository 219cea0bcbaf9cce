"""Bytes that reach and leave one machine, and what they cost where they are charged. Pure.

What an agent counts above the plan raises the upper figure. It lowers nothing: a machine's word is
no proof, and nobody counts the pull of an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from orchestrator.budget.price import Price

_FASTEST_MBIT_S = 10_000.0  # of a host whose line is not told
_BYTES_PER_MBIT = 125_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was planned for one machine, and what its agent counted.

    Whether a provider charges the pull of an image is not always known: it is planned for.
    """

    image_bytes: int = 0
    shipped_bytes: int = 0  # from home, before the agent counts
    receives_bytes: int = 0  # planned beside those: model, environment
    sends_bytes: int = 0  # planned: results, checkpoints, logs
    received_bytes: int = 0  # as its agent says
    sent_bytes: int = 0
    received_before_bytes: int = 0  # of that, by the run that had the machine before
    sent_before_bytes: int = 0

    def heard(
        self,
        received_bytes: float,
        sent_bytes: float,
        *,
        lived_s: float,
        line_mbit_s: float | None = None,
    ) -> Traffic:
        """With what the machine says now: a counter only grows, and no faster than its line.

        Args:
            lived_s: of the machine, since it was asked for.
            line_mbit_s: of its host, where that is known.

        >>> Traffic(received_bytes=5).heard(3, 2, lived_s=60).received_bytes
        5
        >>> Traffic().heard(1e16, 0, lived_s=10, line_mbit_s=100).received_bytes
        250000000
        """
        fastest = 2 * (line_mbit_s or _FASTEST_MBIT_S) * _BYTES_PER_MBIT  # lines are measured low
        most = fastest * max(0.0, lived_s)
        received, sent = (int(min(most, max(0, size))) for size in (received_bytes, sent_bytes))
        return replace(
            self,
            received_bytes=max(self.received_bytes, received),
            sent_bytes=max(self.sent_bytes, sent),
        )

    def taken_over(self, planned: Traffic) -> Traffic:
        """Of the next run on the same machine: its image is there, and its counters go on."""
        return replace(
            planned,
            image_bytes=0,
            received_bytes=self.received_bytes,
            sent_bytes=self.sent_bytes,
            received_before_bytes=self.received_bytes,
            sent_before_bytes=self.sent_bytes,
        )

    def planned_usd(self, price: Price) -> Decimal:
        """What is kept for it under the cap before anything is rented."""
        reaching = self.image_bytes + self.shipped_bytes + self.receives_bytes
        return price.for_traffic(reaching, self.sends_bytes)

    def upper_usd(self, price: Price, *, worked: bool) -> Decimal:
        """What it costs at most by now: the plan, or what was counted where that is more.

        Half of what was to be sent stays reserved beyond what was: the results come last.

        Args:
            worked: whether anything was shipped to the machine.
        """
        if not worked:
            return price.for_traffic(self.image_bytes, 0)
        received, sent = self._counted()
        reached = self.image_bytes + self.shipped_bytes + max(self.receives_bytes, received)
        return price.for_traffic(reached, max(self.sends_bytes, sent + self.sends_bytes // 2))

    def cost_usd(self, price: Price, *, worked: bool) -> Decimal:
        """What was counted, without an image that nobody counts."""
        received, sent = self._counted()
        return price.for_traffic(self.shipped_bytes + received, sent) if worked else Decimal(0)

    def _counted(self) -> tuple[int, int]:
        received = self.received_bytes - self.received_before_bytes
        return received, self.sent_bytes - self.sent_before_bytes
