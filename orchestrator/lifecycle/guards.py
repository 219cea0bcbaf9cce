"""Which guards hold the money of a machine, as grades and in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_UP

from orchestrator.budget.price import CENT
from orchestrator.lifecycle.deadlines import REAPED_S
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.run import Candidate, Launch

_HOUR_S = 3600
_GRADES = {
    GuardWay.START_COMMAND: "plausible",
    GuardWay.AGENT: "not needed",
    GuardWay.NONE: "absent",
}


def guard_grade(
    account: str, facts: Capabilities, drilled: frozenset[str], watched: frozenset[str]
) -> str:
    """drilled | plausible | watched | absent | not needed, before a machine is rented.

    Args:
        drilled: accounts on which a machine has ended itself in a drill.
        watched: accounts that a living reaper on another host searches.
    """
    grade = _GRADES[facts.guard]
    if grade == "plausible" and account in drilled:
        return "drilled"
    return "watched" if grade == "absent" and account in watched else grade


def late_s(grade: str) -> float:
    """For how long after its deadline a machine may live, should nobody of this home be there."""
    return REAPED_S if grade == "watched" else 0.0


def guard_sentences(
    first: Candidate, capabilities: Mapping[str, Capabilities], launch: Launch
) -> tuple[str, ...]:
    """Which money guards hold on the machine that is rented first."""
    offer = first.offer
    if not capabilities[offer.provider].bills:
        return ("this computer costs nothing; the job still ends at its max_duration",)
    hold_usd = offer.price.for_seconds(launch.hold_s).quantize(CENT, ROUND_UP)
    sentences = [
        "plan: the worst case is committed in the ledger before anything is rented",
        "driver: checkpoints, collects and returns before the cap is passed",
    ]
    if capabilities[offer.provider].guard is GuardWay.START_COMMAND:
        sentences.append(
            f"machine: ends itself after {first.deadline_s / 3600:.1f} h at the latest, also when "
            f"this computer is off ({_proof(first)})"
        )
    elif first.guard == "watched":
        sentences.append(
            "machine: no guard of its own; a reaper on another host ends it once it is 15 min past "
            f"its deadline of {first.deadline_s / 3600:.1f} h, while that host lives"
        )
    else:
        rate = f"${offer.price.usd_per_hour:.2f}/h"
        sentences.append(
            f"machine: no guard if this computer is off: then it bills {rate}, past the cap too, "
            "until gpulease runs again or you end it in the provider's console"
        )
    sentences.append("account: every list of machines is searched for orphans of this home")
    increment_s = capabilities[offer.provider].billing_increment_s
    if increment_s >= _HOUR_S:
        hour_usd = offer.price.for_seconds(increment_s).quantize(CENT, ROUND_UP)
        sentences.append(
            f"bill: an hour that has begun costs the whole hour (${hour_usd}), also on a machine "
            "that goes back at once"
        )
    sentences += _of_launch(launch, offer)
    if launch.bucket:
        sentences.append(
            "bucket: the machine gets no AWS key, but signed URLs: each writes one object of its "
            "own folder there, until its deadline"
        )
        sentences.append(
            "if this computer is off, results still go to the bucket, and the machine ends itself "
            f"once all is there; where the bucket refuses, {launch.hold_s / 60:.0f} min "
            f"(${hold_usd}) after the job"
        )
        return tuple(sentences)
    if capabilities[offer.provider].guard is GuardWay.NONE:
        sentences += _of_unguarded(capabilities[offer.provider].own_stop_s)
        return tuple(sentences)
    sentences.append(
        f"if this computer is off when the job ends, results wait {launch.hold_s / 60:.0f} min "
        f"(${hold_usd}), then are lost; set artifacts.to or artifacts.hold"
    )
    return tuple(sentences)


def _of_unguarded(own_stop_s: float) -> list[str]:
    """What becomes of results on a machine that does not end itself."""
    if not own_stop_s:
        return [
            "if this computer is off when the job ends, results wait on the machine; once the cap "
            "is passed they are lost with it"
        ]
    return [
        f"provider: is asked to stop it {own_stop_s / 3600:.0f} h after its deadline at the latest,"
        " as nobody has tried yet; its disk bills on",
        "if this computer is off when the job ends, results wait on the machine; once the cap is "
        "passed, or it was stopped, they are lost with it",
    ]


def _of_launch(launch: Launch, offer: Offer) -> list[str]:
    """What traffic, keeping and secrets mean on a machine of this offer."""
    told: list[str] = []
    if offer.spot:
        told.append(
            "bid: where it is lost while this computer is off, the stopped machine's disk of "
            f"${offer.price.disk_usd_per_hour:.3f}/h bills until gpulease runs again, or a reaper "
            "on another host ends it past its deadline"
        )
    if traffic_usd := launch.traffic.planned_usd(offer.price).quantize(CENT, ROUND_UP):
        told.append(
            f"traffic: ${traffic_usd} of the worst case, for image, environment, model, results; "
            "what the machine counts beyond that counts to the cap"
        )
    if launch.keep_s:
        keep_usd = offer.price.for_seconds(launch.keep_s).quantize(CENT, ROUND_UP)
        told.append(
            f"kept: {launch.keep_s / 60:.0f} min (${keep_usd}) after everything is home, for "
            "`submit --reuse`; `gpulease cancel` gives it back at once"
        )
    if launch.secrets:
        told.append(
            f"secrets: {', '.join(launch.secrets)} on this machine, over SSH into a file in its "
            "memory; hosts below `datacenter` are given none unless allow_untrusted_secrets"
        )
    return told


def _proof(first: Candidate) -> str:
    """What is known of the guard of a provider's machines."""
    if first.guard == "drilled":
        return "drilled: one of this account has ended itself within 90 days"
    drill = f"gpulease doctor --drill {first.offer.provider}"
    return f"plausible: no drill was made on this account; {drill} makes one for cents"
