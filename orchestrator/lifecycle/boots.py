"""Which offers gave machines that never came up: remembered with the leases, and fading. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.budget.caps import RETURN_S
from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities
from orchestrator.runs.lease import Lease

_HALF_S = 24 * 3600.0  # a failure of yesterday counts half
_FORGOTTEN_S = 14 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Boot:
    """One machine that came up, or did not."""

    provider: str
    offer_id: str
    region: str  # where it stood; "" when unknown
    at_s: float
    failed: bool


def boots_of(leases: Iterable[Lease], now_s: float) -> tuple[Boot, ...]:
    """What the leases of a home tell, as far back as it still counts."""
    found = []
    for lease in leases:
        failed = lease.failed_boot_s is not None
        at_s = lease.failed_boot_s if lease.failed_boot_s is not None else lease.sent_s
        if at_s is None or not (failed or lease.did_work) or now_s - at_s > _FORGOTTEN_S:
            continue
        found.append(Boot(lease.provider, lease.offer.id, lease.region, at_s, failed))
    return tuple(found)


def expected_failures(boots: Iterable[Boot], offer: Offer, now_s: float) -> float:
    """How many machines of an offer are likely to be rented for nothing before one works.

    Failures against successes, each counting half after a day. What happened in a region that the
    offer excludes does not count.
    """
    failed = worked = 0.0
    for boot in boots:
        if _is_about(boot, offer):
            weight = 0.5 ** (max(0.0, now_s - boot.at_s) / _HALF_S)
            failed += weight * boot.failed
            worked += weight * (not boot.failed)
    return failed / (1.0 + worked)


def risk_usd(failures: float, offer: Offer, capabilities: Capabilities) -> Decimal:
    """What those machines would cost: each is waited for until its boot deadline."""
    lost_usd = offer.price.for_seconds(
        boot_deadline_s(offer, capabilities) + RETURN_S,
        increment_s=capabilities.billing_increment_s,
    )
    return lost_usd * Decimal(str(round(failures, 3)))


def unreliable_usd(offer: Offer, run_usd: Decimal) -> Decimal:
    """What a host's own record lets one expect to lose: half of a run, so often as it is down."""
    if offer.reliability is None:
        return Decimal(0)
    return run_usd / 2 * Decimal(str(round(max(0.0, 1.0 - offer.reliability), 4)))


def told(boots: Iterable[Boot], offer: Offer, usd: Decimal, now_s: float) -> str:
    """Why an offer ranks lower than its price, for a person."""
    failed = [boot for boot in boots if boot.failed and _is_about(boot, offer)]
    last = max(failed, key=lambda boot: boot.at_s)
    hours = (now_s - last.at_s) / 3600
    times = "once" if len(failed) == 1 else f"{len(failed)} times"
    where = f" in {last.region}" if last.region else ""
    return (
        f"{offer.id} on {offer.provider} did not boot {times}, the last time{where} "
        f"{hours:.0f} h ago: it is ranked as ${usd:.2f} dearer"
    )


def _is_about(boot: Boot, offer: Offer) -> bool:
    if (boot.provider, boot.offer_id) != (offer.provider, offer.id):
        return False
    return not (boot.region and offer.region) or boot.region in offer.region.split(",")
