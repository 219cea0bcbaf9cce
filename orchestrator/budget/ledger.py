"""The ledger: append-only entries of money, and the limits of the config file. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from orchestrator.errors import BudgetRefused


class EntryKind(StrEnum):
    COMMITTED = "committed"  # the worst case of a run, before anything is rented
    ACCRUED = "accrued"  # upper figure of a machine that is proven gone
    RELEASED = "released"  # committed money that is free again
    CORRECTED = "corrected"  # the provider's bill said otherwise


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. The kind says which way the dollars count; only a correction may be negative."""

    at_s: float
    run_id: str
    kind: EntryKind
    usd: Decimal
    label: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """From the config file only; no flag raises them."""

    month_usd: Decimal = Decimal(100)
    machines: int = 4
    burn_usd_per_hour: Decimal = Decimal(10)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where this home stands: money of this month, machines and burn rate now."""

    accrued_usd: Decimal = Decimal(0)
    committed_usd: Decimal = Decimal(0)
    machines: int = 0
    burn_usd_per_hour: Decimal = Decimal(0)

    def without(self, usd_per_hour: Decimal) -> Standing:
        """The same without one machine of that rate.

        >>> Standing(machines=2, burn_usd_per_hour=Decimal(3)).without(Decimal(1)).machines
        1
        """
        burn = max(Decimal(0), self.burn_usd_per_hour - usd_per_hour)
        return replace(self, machines=max(0, self.machines - 1), burn_usd_per_hour=burn)


def committed_usd(entries: Iterable[Entry]) -> Decimal:
    """What is still committed.

    >>> at = dict(at_s=0, run_id="r")
    >>> committed_usd([Entry(kind=EntryKind.COMMITTED, usd=Decimal(2), **at),
    ...                Entry(kind=EntryKind.RELEASED, usd=Decimal(2), **at)])
    Decimal('0')
    """
    signs = {EntryKind.COMMITTED: 1, EntryKind.RELEASED: -1}
    return sum((entry.usd * signs.get(entry.kind, 0) for entry in entries), Decimal(0))


def accrued_usd(entries: Iterable[Entry]) -> Decimal:
    """What was spent, by the upper figure, corrections included."""
    kinds = (EntryKind.ACCRUED, EntryKind.CORRECTED)
    return sum((entry.usd for entry in entries if entry.kind in kinds), Decimal(0))


def check_limits(
    limits: Limits, standing: Standing, *, worst_usd: Decimal, usd_per_hour: Decimal
) -> None:
    """Raise BudgetRefused when one more machine would pass a limit of the config file.

    >>> check_limits(Limits(), Standing(machines=4), worst_usd=Decimal(1), usd_per_hour=Decimal(1))
    Traceback (most recent call last):
    orchestrator.errors.BudgetRefused: 4 machines are open already, and the limit is 4
    """
    check_month(limits, standing, worst_usd)
    if standing.machines >= limits.machines:
        raise BudgetRefused(
            f"{standing.machines} machines are open already, and the limit is {limits.machines}",
            hint="wait for one (gpulease ps), or raise limits.machines in the config file",
        )
    burn = standing.burn_usd_per_hour + usd_per_hour
    if burn > limits.burn_usd_per_hour:
        raise BudgetRefused(
            f"with this machine ${burn:.2f} an hour would burn, and the limit is "
            f"${limits.burn_usd_per_hour:.2f}",
            hint="raise limits.burn_usd_per_hour in the config file",
        )


def check_month(limits: Limits, standing: Standing, worst_usd: Decimal) -> None:
    """Raise BudgetRefused when what one more run may cost would pass the month's limit."""
    month_usd = standing.accrued_usd + standing.committed_usd + worst_usd
    if month_usd > limits.month_usd:
        raise BudgetRefused(
            f"${standing.accrued_usd:.2f} spent this month, ${standing.committed_usd:.2f} "
            f"committed and ${worst_usd:.2f} for this run pass the limit of "
            f"${limits.month_usd:.2f} a month",
            hint="raise limits.month_usd in the config file, or lower budget.max_cost",
        )
