"""How often machines that were bid for were taken away, and what that makes a run cost. Pure.

A reclaim costs what was done since the last checkpoint, on average half an interval, and another
boot and set-up. How that adds up over a run is the model of J. T. Daly, "A higher order estimate of
the optimum checkpoint interval for restart dumps", Future Generation Computer Systems 22 (2006).
What it gives is the high end of the forecast, and offers are ranked by the forecast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.offers.offer import Bid, Offer
from orchestrator.runs.lease import Lease

# Nobody publishes how long a bid holds. Until this home has seen it: one reclaim in six hours, and
# no firmer a belief than two hours of watching would give.
_PRIOR_RECLAIMS, _PRIOR_HOURS = 1 / 3, 2.0
_HALF_S = 24 * 3600.0  # what was seen yesterday counts half: markets change
_FORGOTTEN_S = 14 * 24 * 3600.0
_LARGEST_EXPONENT = 50.0


@dataclass(frozen=True, slots=True)
class Stay:
    """How long one machine was had for a bid."""

    provider: str
    gpu: str
    hours: float
    until_s: float
    reclaimed: bool


def stays_of(leases: Iterable[Lease], now_s: float) -> tuple[Stay, ...]:
    """What the leases of a home tell of its bids, as far back as it still counts."""
    found = []
    for lease in leases:
        if not lease.offer.spot or lease.sent_s is None or not lease.has_machine:
            continue
        ends_s = (lease.reclaimed_s, lease.return_since_s, lease.gone_s)
        until_s = next((at_s for at_s in ends_s if at_s is not None), now_s)
        hours = max(0.0, until_s - lease.sent_s) / 3600
        if now_s - until_s <= _FORGOTTEN_S:
            reclaimed = lease.reclaimed_s is not None
            found.append(Stay(lease.provider, lease.offer.gpu, hours, until_s, reclaimed))
    return tuple(found)


def reclaims_per_hour(stays: Iterable[Stay], offer: Offer, now_s: float) -> float:
    """How often a machine of this kind, of one provider and card, is expected to be taken away.

    The mean of a Gamma distribution that began as the prior says.
    """
    reclaims, hours = _PRIOR_RECLAIMS, _PRIOR_HOURS
    for stay in stays:
        if (stay.provider, stay.gpu) == (offer.provider, offer.gpu):
            weight = 0.5 ** (max(0.0, now_s - stay.until_s) / _HALF_S)
            reclaims += weight * stay.reclaimed
            hours += weight * stay.hours
    return reclaims / hours


def with_reclaims(offers: Sequence[Offer], stays: Sequence[Stay], now_s: float) -> list[Offer]:
    """The offers, each to bid for with how often such a machine is taken away."""
    return [
        offer
        if offer.bid is None
        else replace(
            offer,
            bid=replace(offer.bid, reclaims_per_hour=reclaims_per_hour(stays, offer, now_s)),
        )
        for offer in offers
    ]


def hours_with_reclaims(hours: float, bid: Bid, *, saved_h: float, again_h: float) -> float:
    """What a run of `hours` is expected to take where it is interrupted, and goes on elsewhere.

    Args:
        saved_h: between two checkpoints that outlive the machine; `hours` where nothing is saved.
        again_h: from a reclaim until another machine works.

    >>> from decimal import Decimal
    >>> round(hours_with_reclaims(10, Bid(Decimal(1), 1 / 6), saved_h=0.25, again_h=0.2), 2)
    10.56
    """
    rate = bid.reclaims_per_hour
    if rate <= 0 or hours <= 0:
        return hours
    saved_h = min(saved_h, hours)
    # Far beyond any cap, and still a number.
    lost, begun = (min(_LARGEST_EXPONENT, rate * part_h) for part_h in (saved_h, again_h))
    return hours * math.exp(begun) * math.expm1(lost) / (rate * saved_h)


def told_of_bid(offer: Offer, every_s: float, *, saves: bool) -> str:
    """What a person must know who bids for this offer.

    Args:
        saves: whether the program is known to save; of one's own code nobody knows.
    """
    assert offer.bid is not None, "only what is bid for is taken away"
    hours = 1 / offer.bid.reclaims_per_hour if offer.bid.reclaims_per_hour else math.inf
    lost = f"at most {every_s / 60:.0f} min of work" if saves else "what it did not save"
    return (
        f"the first offer is a bid of ${offer.bid.usd_per_hour:.3f}/h: its machine goes to whoever "
        f"bids more, which is expected once in {hours:.1f} h; then another goes on, and {lost} is "
        "done again"
    )
