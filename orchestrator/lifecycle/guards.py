"""Which guards hold the money of a machine, as grades and in sentences. Pure."""

from __future__ import annotations

from decimal import ROUND_UP

from orchestrator.budget.price import CENT
from orchestrator.lifecycle.deadlines import REAPED_S
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.run import Candidate, Launch

_HOUR_S = 3600
_BUCKET = (
    "bucket: the machine gets no AWS key, but signed URLs: each writes one object of its own folder"
    " there, until its deadline"
)
_GRADES = {
    GuardWay.START_COMMAND: "plausible",
    GuardWay.AGENT: "not needed",
    GuardWay.NONE: "absent",
}
UNGUARDED = frozenset({"absent", "watched"})  # grades of a machine that does not end itself


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


def guard_sentences(first: Candidate, facts: Capabilities, launch: Launch) -> tuple[str, ...]:
    """Which money guards hold on the machine that is rented first."""
    offer = first.offer
    if not facts.bills:
        return _of_own(launch)
    sentences = [
        "plan: the worst case is committed in the ledger before anything is rented",
        "driver: checkpoints, collects and returns before the cap is passed",
    ]
    if facts.guard is GuardWay.START_COMMAND:
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
    increment_s = facts.billing_increment_s
    if increment_s >= _HOUR_S:
        hour_usd = offer.price.for_seconds(increment_s).quantize(CENT, ROUND_UP)
        sentences.append(
            f"bill: an hour that has begun costs the whole hour (${hour_usd}), also on a machine "
            "that goes back at once"
        )
    sentences += _of_launch(launch, offer)
    return (*sentences, *_if_off(launch, first, facts))


def _of_own(launch: Launch) -> tuple[str, ...]:
    """What holds on a computer of one's own, this one or another."""
    free = "a computer of your own costs nothing; the job still ends at its max_duration"
    alone = "while gpulease does not run here, the job goes on, and its "
    if not launch.bucket:
        return free, f"{alone}results wait where it runs"
    waits = (
        "results go to the bucket; its folder stays where it runs, and its GPU is held until the "
        "deadline"
    )
    return free, _BUCKET, f"{alone}{waits}"


def _if_off(launch: Launch, first: Candidate, facts: Capabilities) -> list[str]:
    """What becomes of results, and of the machine, where this computer is off."""
    if facts.guard is GuardWay.NONE:
        return _if_off_unguarded(launch, facts.own_stop_s, is_watched=first.guard == "watched")
    hold_usd = first.offer.price.for_seconds(launch.hold_s).quantize(CENT, ROUND_UP)
    hold = f"{launch.hold_s / 60:.0f} min (${hold_usd})"
    if launch.bucket:
        return [
            _BUCKET,
            "if this computer is off, results still go to the bucket, and the machine ends itself "
            f"once all is there; where the bucket refuses, {hold} after the job",
        ]
    return [
        f"if this computer is off when the job ends, results wait {hold}, then are lost; set "
        "artifacts.to or artifacts.hold"
    ]


def _if_off_unguarded(launch: Launch, own_stop_s: float, *, is_watched: bool) -> list[str]:
    """The same for a machine that does not end itself."""
    told: list[str] = []
    ends = ["the cap is passed"]
    if is_watched:
        ends.append("the reaper has ended it")
    if own_stop_s:
        ends.append("its provider has stopped it")
        told.append(
            f"provider: is asked to stop the machine {own_stop_s / 3600:.0f} h after its deadline "
            "at the latest (not yet tried on a real account); its disk bills on"
        )
    if launch.bucket:
        return [*told, _BUCKET, "if this computer is off, results still go to the bucket"]
    waits = "if this computer is off when the job ends, results wait on the machine"
    return [*told, f"{waits}, and are lost with it once {', or '.join(ends)}"]


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
