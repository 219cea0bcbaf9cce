"""Which offers a job lets in at all, whatever they cost and however well they fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import Selection
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.spec.job import Job

_UNGUARDED = "no guard if this computer is off: it would bill until somebody ends it"


@dataclass(frozen=True, slots=True)
class Closed:
    """An offer that is not let in."""

    offer: Offer
    why: str
    remedy: str  # what the person would write to have it anyway


def may_be_used(
    job: Job,
    offers: Sequence[Offer],
    capabilities: Mapping[str, Capabilities],
    watched: frozenset[str] = frozenset(),
) -> tuple[list[Offer], list[Closed]]:
    """The offers that a job lets in, and the others with the reason.

    Args:
        watched: accounts that a living reaper on another host searches.
    """
    allowed: list[Offer] = []
    closed: list[Closed] = []
    for offer in offers:
        found = _closes(job, offer, capabilities[offer.provider], watched)
        if found is None:
            allowed.append(offer)
        else:
            closed.append(found)
    return allowed, closed


def with_closed(chosen: Selection, closed: Sequence[Closed]) -> Selection:
    """A selection that also names what was not let in, and what would let the cheapest in."""
    refused = [*chosen.refused, *((one.offer, one.why) for one in closed)]
    relaxation = chosen.relaxation
    if closed and not (relaxation or chosen.candidates):
        best = min(closed, key=lambda one: (one.offer.price.usd_per_hour, one.offer.id))
        what, rate = best.offer.gpu or "no GPU", best.offer.price.usd_per_hour
        relaxation = f"{best.remedy} may allow {what} on {best.offer.provider} at ${rate:.2f}/h"
    return replace(chosen, refused=refused, relaxation=relaxation)


def _closes(job: Job, offer: Offer, facts: Capabilities, watched: frozenset[str]) -> Closed | None:
    is_guarded = not facts.bills or facts.guard is not GuardWay.NONE or offer.provider in watched
    if not is_guarded and not job.accept_unguarded:
        return Closed(offer, _UNGUARDED, "`accept_unguarded: true`")
    if offer.spot and not job.spot:
        return Closed(offer, "it may be taken away for a higher bid", "`spot: true`")
    if not facts.container_images and job.image != "auto":
        why = "it is a whole computer, and runs no image of a container"
        return Closed(offer, why, "`image: auto`")
    return None
