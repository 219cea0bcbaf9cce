"""The plan: ranked offers with forecast, cap and guards. Pure; nothing has been spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from orchestrator.budget.caps import terms, unpaid
from orchestrator.budget.price import CENT
from orchestrator.errors import BudgetRefused, NoOffer
from orchestrator.lifecycle.admission import may_be_used, with_closed
from orchestrator.lifecycle.boots import Boot, expected_failures, risk_usd, told, unreliable_usd
from orchestrator.lifecycle.deadlines import START_BY_S
from orchestrator.lifecycle.forecast import (
    forecast_hours,
    forecast_usd,
    suggested_cap_usd,
    too_slow,
)
from orchestrator.lifecycle.guards import guard_grade, guard_sentences, late_s
from orchestrator.lifecycle.homeline import HOME_BYTES_PER_S
from orchestrator.lifecycle.reclaims import Stay, told_of_bid, with_reclaims
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import Selection, select
from orchestrator.providers.base import Capabilities
from orchestrator.runs.run import Candidate, Launch, Order
from orchestrator.sizing.fit import Footprint
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need

DEFAULT_IMAGE = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"


@dataclass(frozen=True, slots=True)
class Material:
    """What is known of a job before any offer is asked for."""

    job: Job
    launch: Launch
    need: Need
    footprint: Footprint | None  # None for one's own code
    sizing: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    saved: bool = False  # there is a checkpoint of it at home
    home_bytes_per_s: float = HOME_BYTES_PER_S

    @property
    def saves(self) -> bool:
        """Whether checkpoints are known to be written: one's own code tells by the first one."""
        return self.saved or self.footprint is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order in which they are rented."""

    material: Material
    candidates: tuple[Candidate, ...]
    refused: tuple[tuple[Offer, str], ...]
    cap_usd: Decimal | None
    suggested_usd: Decimal
    worst_usd: Decimal
    reserve_usd: Decimal
    start_by_s: float
    guards: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())
    relaxation: str = ""  # when no offer fits: the cheapest thing to give up
    order: Order | None = None  # with --wait: what is asked again until `start_by_s`


@dataclass(frozen=True, slots=True)
class Known:
    """What a home knows beside the offers themselves."""

    balances: Mapping[str, Decimal] = field(default_factory=dict)  # of accounts that can be read
    boots: tuple[Boot, ...] = ()  # of late
    stays: tuple[Stay, ...] = ()  # machines that were bid for, of late
    drilled: frozenset[str] = frozenset()  # accounts on which a machine ended itself in a drill
    watched: frozenset[str] = frozenset()  # accounts that a reaper on another host searches


class _Unpaid(BudgetRefused):
    """The account holds less than the worst case."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What can be paid, each with its worst case and what of that is reserved; and what cannot."""

    candidates: list[tuple[Candidate, Decimal, Decimal]]
    refused: list[tuple[Offer, str]]


def make_plan(
    material: Material,
    offers: list[Offer],
    capabilities: dict[str, Capabilities],
    *,
    now_s: float,
    failures: list[str],
    known: Known | None = None,
    may_wait: bool = False,
) -> Plan:
    """Rank what is for rent and fit it under the cap; no candidates when nothing fits the need.

    Raises: NoOffer when nothing is for rent, unless it `may_wait`; BudgetRefused when no offer
    fits under the cap.
    """
    known = known or Known()

    def expected_usd(offer: Offer) -> Decimal:
        risk = _risk_usd(offer, capabilities, known, now_s)
        cost_usd = forecast_usd(material, offer, capabilities)[1]
        return cost_usd + risk + unreliable_usd(offer, cost_usd)

    offers = with_reclaims(offers, known.stays, now_s)
    allowed, closed = may_be_used(material.job, offers, capabilities, known.watched)
    lines = [(offer, too_slow(material, offer)) for offer in allowed]
    quick = [offer for offer, why in lines if not why]
    chosen = with_closed(select(material.need, quick, expected_usd), closed)
    chosen = replace(chosen, refused=[*chosen.refused, *((o, why) for o, why in lines if why)])
    if not chosen.candidates:
        if not chosen.refused and not may_wait:
            raise NoOffer("; ".join(failures) or "no provider has anything for rent")
        return _nothing_fits(material, chosen, failures, now_s)
    cap_usd = material.job.budget.max_cost_usd
    suggested_usd = suggested_cap_usd(material, _likely(chosen.candidates), capabilities)
    fitted = _fit(material, chosen, capabilities, suggested_usd, known)
    first, worst_usd, reserve_usd = fitted.candidates[0]
    candidates = tuple(candidate for candidate, _, _ in fitted.candidates)
    return Plan(
        material=material,
        candidates=candidates,
        refused=(*chosen.refused, *fitted.refused),
        cap_usd=cap_usd,
        suggested_usd=suggested_usd if worst_usd else Decimal(0),
        worst_usd=worst_usd,
        reserve_usd=reserve_usd,
        start_by_s=now_s + START_BY_S,
        guards=guard_sentences(first, capabilities[first.offer.provider], material.launch),
        warnings=(
            *material.warnings,
            *_too_long(material.job, first),
            *_of_bids(material, first.offer, capabilities),
            *_boot_risks(candidates, capabilities, known, now_s),
            *_unread(candidates, capabilities, known),
            *failures,
        ),
    )


def to_wait(plan: Plan, providers: Sequence[str], wait_s: float) -> Plan:
    """The plan of a run that waits for capacity: the same need, cap and limits, for longer.

    Raises: BudgetRefused when there is neither a cap nor an offer to suggest one from.
    """
    if not plan.candidates and plan.cap_usd is None:
        raise BudgetRefused(
            "nothing fits now, so there is no forecast to suggest a cap from",
            hint="say the most that it may cost: --max-cost USD",
        )
    order = Order(tuple(providers), plan.material.need, plan.material.footprint)
    start_by_s = plan.start_by_s - START_BY_S + max(START_BY_S, wait_s)
    worst_usd = plan.worst_usd if plan.candidates else plan.cap_usd or plan.worst_usd
    return replace(plan, order=order, start_by_s=start_by_s, worst_usd=worst_usd)


def _likely(candidates: list[Offer]) -> list[Offer]:
    """Those that a cap should carry: the first ones, and what a run ends on whose bids are lost."""
    lasting = next((offer for offer in candidates if not offer.spot), None)
    return [*candidates[:3], *([lasting] if lasting and candidates[0].spot else [])]


def _fit(
    material: Material,
    chosen: Selection,
    capabilities: dict[str, Capabilities],
    suggested_usd: Decimal,
    known: Known,
) -> _Fitted:
    """What fits under the cap and what the account holds. Raises: BudgetRefused when nothing does.

    The refusal is the first offer's.
    """
    cap_usd = material.job.budget.max_cost_usd or suggested_usd
    fitted = _Fitted([], [])
    errors: list[BudgetRefused] = []
    for offer in chosen.candidates:
        try:
            made = _candidate(material, offer, capabilities, cap_usd, known)
            _check_balance(offer, capabilities[offer.provider], made[1], known)
        except BudgetRefused as error:
            errors.append(error)
            fitted.refused.append((offer, error.problem))
        else:
            fitted.candidates.append(made)
    if fitted.candidates:
        return fitted
    best, why = chosen.candidates[0], errors[0].problem
    if any(isinstance(error, _Unpaid) for error in errors):
        hint = "add credit, or lower budget.max_cost or budget.max_duration"
        raise BudgetRefused(f"no account can carry this plan: {best.id}: {why}", hint=hint)
    raise BudgetRefused(
        f"no offer fits under the cap: the best, {best.id}: {why}",
        hint=f"set budget.max_cost to ${suggested_usd} or more, or lower artifacts.hold",
    )


def _candidate(
    material: Material,
    offer: Offer,
    capabilities: dict[str, Capabilities],
    cap_usd: Decimal,
    known: Known,
) -> tuple[Candidate, Decimal, Decimal]:
    facts = capabilities[offer.provider]
    grade = guard_grade(offer.provider, facts, known.drilled, known.watched)
    hours = forecast_hours(material, offer, facts)
    fitted = terms(
        offer.price,
        cap_usd=cap_usd,
        max_duration_s=material.job.budget.max_duration_s,
        hold_s=material.launch.hold_s + material.launch.keep_s,
        collect_s=material.launch.collect_s,
        traffic_usd=material.launch.traffic.planned_usd(offer.price),
        late_s=late_s(grade),
        increment_s=facts.billing_increment_s,
    )
    if fitted.capped and fitted.work_s < hours[0] * 3600:
        raise BudgetRefused(
            f"even the low end of the forecast ({hours[0] * 60:.0f} min) does not fit: the cap "
            f"leaves {fitted.work_s / 60:.0f} min of work"
        )
    candidate = Candidate(
        offer=offer,
        hours=hours,
        cost_usd=forecast_usd(material, offer, capabilities),
        work_s=fitted.work_s,
        deadline_s=fitted.deadline_s,
        capped=fitted.capped,
        guard=grade,
    )
    return candidate, fitted.worst_usd, fitted.reserve_usd


def _check_balance(offer: Offer, facts: Capabilities, worst_usd: Decimal, known: Known) -> None:
    balance_usd = known.balances.get(offer.provider)
    if balance_usd is not None and (
        why := unpaid(
            offer.price,
            worst_usd,
            balance_usd,
            least_hours=facts.balance_hours,
            spare=facts.balance_spare,
        )
    ):
        raise _Unpaid(f"the {offer.provider} account {why}")


def _unread(
    candidates: tuple[Candidate, ...], capabilities: dict[str, Capabilities], known: Known
) -> list[str]:
    names = {one.offer.provider for one in candidates if one.offer.provider not in known.balances}
    return [
        f"the balance of the {name} account cannot be read now: nobody will notice that it ends"
        for name in sorted(names)
        if capabilities[name].tells_balance
    ]


def _risk_usd(
    offer: Offer, capabilities: dict[str, Capabilities], known: Known, now_s: float
) -> Decimal:
    failures = expected_failures(known.boots, offer, now_s)
    return risk_usd(failures, offer, capabilities[offer.provider])


def _boot_risks(
    candidates: tuple[Candidate, ...],
    capabilities: dict[str, Capabilities],
    known: Known,
    now_s: float,
) -> list[str]:
    """Which offers rank lower because their machines did not come up, and by how much."""
    risks = [(one.offer, _risk_usd(one.offer, capabilities, known, now_s)) for one in candidates]
    return [told(known.boots, offer, usd, now_s) for offer, usd in risks if usd >= CENT]


def _too_long(job: Job, first: Candidate) -> list[str]:
    """What to mind when the work may not end within max_duration."""
    low_h, high_h = first.hours
    limit_h = job.budget.max_duration_s / 3600
    if first.capped or high_h <= limit_h:
        return []
    how = "even the low end" if low_h > limit_h else "the high end"
    hours = low_h if low_h > limit_h else high_h
    return [
        f"{how} of the forecast ({hours:.1f} h) is longer than budget.max_duration "
        f"({limit_h:.2g} h): the job would be stopped with its last checkpoint"
    ]


def _of_bids(material: Material, first: Offer, capabilities: dict[str, Capabilities]) -> list[str]:
    """What `spot: true` means for the machine that is rented first."""
    if material.job.spot and not any(facts.spot for facts in capabilities.values()):
        return ["`spot: true` changes nothing: none of these providers lets machines be bid for"]
    if not first.spot:
        return []
    return [told_of_bid(first, material.launch.checkpoint_every_s, saves=material.saves)]


def _nothing_fits(material: Material, chosen: Selection, failures: list[str], now_s: float) -> Plan:
    return Plan(
        material=material,
        candidates=(),
        refused=tuple(chosen.refused),
        cap_usd=material.job.budget.max_cost_usd,
        suggested_usd=Decimal(0),
        worst_usd=Decimal(0),
        reserve_usd=Decimal(0),
        start_by_s=now_s + START_BY_S,
        guards=(),
        warnings=(*material.warnings, *failures),
        relaxation=chosen.relaxation,
    )
