"""Waiting for capacity: the providers are asked again, under the same need, cap and limits."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.lifecycle.leasing import asking_until, cancelled, finish, next_offer, too_late
from orchestrator.lifecycle.plan import Material, make_plan
from orchestrator.lifecycle.world import Step, Wait, World
from orchestrator.runs.run import Candidate, Order, Run
from orchestrator.runs.states import Wish
from orchestrator.spec.job import job_from_document

_SOONEST_S = 30.0
_LATEST_S = 300.0
_SHARE = 20  # of the time waited so far: who has waited an hour is not in a hurry of seconds
_NONE_LEFT = "none"  # a provider's own word for its stock


def ask_again(run: Run, world: World) -> Step:
    """PLANNED without a machine in view: nothing is paid for here, so a death here costs nothing.

    What is found is tried as the plan's offers were: one label on disk before each create. Above
    the cap nothing is a candidate, and past `start_by_s` nothing is rented.
    """
    assert run.order is not None, "only a run that may wait has no lease to rent under"
    now_s = world.clock.now_s()
    if run.wish is not Wish.GO_ON:
        return cancelled(run, world)
    if now_s > run.start_by_s:
        outcome, failure = too_late(run)
        return finish(run, world, outcome, failure, failure.problem)
    left_s = _left_s(run, now_s)
    if left_s > 0:
        return Wait(min(left_s, run.start_by_s - now_s + 1.0), run.waiting or asking_until(run))
    asked = replace(run, asked_s=now_s)
    candidates, why = _candidates(run, run.order, world, now_s)
    if not candidates:
        return Wait(pause_s(asked, now_s), f"{asking_until(run)} ({why})", asked)
    fresh = replace(asked, candidates=candidates, next_candidate=0)
    return next_offer(fresh, world, "something is for rent")


def pause_s(run: Run, now_s: float) -> float:
    """Seconds between two questions: more, the longer it lasts."""
    return min(_LATEST_S, max(_SOONEST_S, (now_s - run.created_s) / _SHARE))


def _left_s(run: Run, now_s: float) -> float:
    """Until the next question; at once where the clock was put back."""
    since_s = now_s - run.asked_s
    return pause_s(run, now_s) - since_s if since_s >= 0 else 0.0


def _candidates(
    run: Run, order: Order, world: World, now_s: float
) -> tuple[tuple[Candidate, ...], str]:
    """Offers that may be rented now, or none and why."""
    offers, failures = ask_all(world.accounts, order.providers, order.need)
    said = [f"{name}: {error.problem}" for name, error in failures.items()]
    in_stock = [offer for offer in offers if offer.stock != _NONE_LEFT]
    if not in_stock:
        return (), "; ".join(said) or "nothing is for rent now"
    answered = [name for name in order.providers if name not in failures]
    capabilities = {name: world.accounts.provider(name).capabilities for name in answered}
    job = job_from_document(run.job)
    budget = job.budget.model_copy(update={"max_cost_usd": run.cap_usd})
    capped = job.model_copy(update={"budget": budget})
    saved = job.spot and bool(world.home_store(run).checkpoints())
    material = Material(capped, run.launch, order.need, order.footprint, saved=saved)
    try:
        known = world.recall(capabilities)
        plan = make_plan(material, in_stock, capabilities, now_s=now_s, failures=said, known=known)
    except GpuleaseError as error:
        return (), error.problem
    return plan.candidates, "nothing that fits is for rent now"
