"""How long a machine may live under a dollar cap, and what the worst case costs. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.budget.price import Price
from orchestrator.errors import BudgetRefused

RETURN_S = 180.0  # delete asked → proven gone, with a slow list and a retry
GRACE_S = 60.0  # SIGTERM → checkpoint written
LEAST_WORK_S = 60.0
_LOOK_S = 1.0  # until the next look at it


@dataclass(frozen=True, slots=True)
class Terms:
    """What a cap allows one machine. Seconds count from the create call."""

    work_s: float  # then the program is asked to checkpoint and stop
    deadline_s: float  # then the machine ends itself; results waited until here
    worst_usd: Decimal  # if everything lasts as long as it can
    reserve_usd: Decimal  # the part of it kept for collecting, waiting and returning
    capped: bool  # the cap, not max_duration, ends the work


def terms(
    price: Price,
    *,
    cap_usd: Decimal,
    max_duration_s: float,
    hold_s: float,
    collect_s: float,
    spent_usd: Decimal = Decimal(0),
    traffic_usd: Decimal = Decimal(0),
    late_s: float = 0.0,
    increment_s: int = 1,
) -> Terms:
    """Fit one machine under what is left of the cap.

    Work ends at `min(max_duration, (cap - traffic - reserve) / rate)`; the machine's deadline is
    that plus checkpoint, collecting and hold; after the deadline RETURN_S stay reserved, because
    the upper figure counts until the provider proves the return.

    Args:
        late_s: after its deadline, that a machine which cannot end itself may live until a reaper
            on another host ends it.

    Raises: BudgetRefused when not even a minute of work fits.

    >>> fitted = terms(Price(Decimal("0.60")), cap_usd=Decimal("1"), max_duration_s=36000,
    ...                hold_s=1800, collect_s=60)
    >>> fitted.work_s, fitted.deadline_s, fitted.capped
    (3900.0, 5820.0, True)
    """
    after_work_s, return_s = GRACE_S + collect_s + hold_s, RETURN_S + late_s
    if price.usd_per_hour <= 0:
        return Terms(max_duration_s, max_duration_s + after_work_s, Decimal(0), Decimal(0), False)
    left_usd = cap_usd - spent_usd
    payable_s = (
        int((left_usd - traffic_usd) * 3600 / price.usd_per_hour / increment_s) * increment_s
    )
    capped_work_s = payable_s - after_work_s - return_s
    work_s = float(min(max_duration_s, capped_work_s))
    if capped_work_s >= LEAST_WORK_S > work_s:
        raise BudgetRefused(
            f"max_duration leaves {max_duration_s:.0f} s, and a machine needs a minute of work",
            hint="raise budget.max_duration",
        )
    if work_s < LEAST_WORK_S:
        reserve_usd = price.for_seconds(after_work_s + return_s)
        raise BudgetRefused(
            f"${left_usd:.2f} does not pay for a minute of work at ${price.usd_per_hour:.2f}/h "
            f"with ${reserve_usd + traffic_usd:.2f} kept for collecting, holding and returning"
            + (f", ${traffic_usd:.2f} of it for traffic" if traffic_usd else ""),
            hint="raise budget.max_cost, or lower artifacts.hold",
        )
    deadline_s = work_s + after_work_s
    worst_usd = price.for_seconds(deadline_s + return_s, increment_s=increment_s) + traffic_usd
    reserve_usd = price.for_seconds(after_work_s + return_s, increment_s=increment_s)
    return Terms(
        work_s, deadline_s, min(worst_usd, left_usd), reserve_usd, capped_work_s < max_duration_s
    )


def must_stop(
    upper_usd: Callable[[float], Decimal],
    *,
    cap_usd: Decimal,
    collect_s: float,
    tick_s: float = 15.0,
) -> bool:
    """Whether work must stop now, so that collecting and returning still fit the cap.

    Args:
        upper_usd: the upper figure as it will be so many seconds from now; where whole hours are
            billed, an hour that has begun is paid for, and may be used.
    """
    return upper_usd(GRACE_S + collect_s + RETURN_S + tick_s) > cap_usd


def unpaid(
    price: Price,
    worst_usd: Decimal,
    balance_usd: Decimal,
    *,
    least_hours: float = 0.0,
    spare: float = 1.0,
) -> str:
    """Why a balance does not carry a machine; empty when it does.

    Args:
        least_hours: of its price, that the provider wants to see on the account before it rents.
        spare: times the worst case that must be there, where an empty account loses its disks.

    >>> unpaid(Price(Decimal("0.60")), Decimal("0.20"), Decimal("0.50"), least_hours=1)
    'holds $0.50, and must hold $0.60 for this machine to be rented'
    """
    if worst_usd * Decimal(str(spare)) > balance_usd >= worst_usd:
        return (
            f"holds ${balance_usd:.2f}, and {spare:g} times the worst case of ${worst_usd:.2f} "
            "must be there: an account that runs dry loses its machines with all that is on them"
        )
    if worst_usd > balance_usd:
        return f"holds ${balance_usd:.2f}, and the worst case here is ${worst_usd:.2f}"
    least_usd = price.for_seconds(least_hours * 3600)
    if least_usd > balance_usd:
        must = f"must hold ${least_usd:.2f} for this machine to be rented"
        return f"holds ${balance_usd:.2f}, and {must}"
    return ""


def balance_ends(
    left_usd: Decimal, usd_per_hour: Decimal, *, collect_s: float, look_s: float
) -> bool:
    """Whether an account only just pays for saving, collecting and returning.

    Args:
        usd_per_hour: of every machine on the account.
        look_s: until the balance is read again.

    >>> balance_ends(Decimal("0.05"), Decimal("0.60"), collect_s=60, look_s=60)
    True
    """
    rest_s = GRACE_S + collect_s + RETURN_S + look_s
    return usd_per_hour > 0 and left_usd <= Price(usd_per_hour).for_seconds(rest_s)


def must_return(upper_usd: Callable[[float], Decimal], *, cap_usd: Decimal) -> bool:
    """Whether the machine must go back now, collected or not: the cap wins over the work.

    Args:
        upper_usd: as for `must_stop`.
    """
    return upper_usd(RETURN_S + _LOOK_S) > cap_usd
