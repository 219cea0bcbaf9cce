"""A new run on a kept machine: what it may cost there, and the taking over. Pure.

The machine keeps its label, and so its deadline; the new run's cap is at most what is left of the
cap under which the machine was rented. So both runs together never cost more than was reserved.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.caps import GRACE_S, LEAST_WORK_S, RETURN_S, terms
from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.budget.price import CENT, Price
from orchestrator.clock import to_iso
from orchestrator.errors import BudgetRefused, NoOffer, UsageError
from orchestrator.lifecycle.deadlines import START_BY_S
from orchestrator.lifecycle.forecast import forecast_hours
from orchestrator.lifecycle.guards import UNGUARDED, guard_sentences, late_s
from orchestrator.lifecycle.plan import Material, Plan
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import Capabilities
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Candidate, Launch, Run
from orchestrator.runs.states import LeaseState, State, Wish
from orchestrator.spec.job import Job, job_hash

_ANOTHER = "submit without --reuse rents another machine"


def kept_lease(keeper: Run, now_s: float) -> Lease:
    """The lease of a run's kept machine. Raises: UsageError when it has none to give."""
    lease = keeper.lease
    if keeper.state is not State.KEPT or lease is None or lease.state is not LeaseState.HELD:
        hint = f"{_ANOTHER}; --keep 20m keeps one after its job"
        if lease is not None and lease.handed_to:
            problem = f"the machine of {keeper.name} went on with run {lease.handed_to}"
        elif keeper.state in (State.RETURNING, State.ENDED):
            problem = f"{keeper.name} has no kept machine: it went back"
        else:
            problem = f"{keeper.name} has no kept machine: it is {keeper.state}"
            if keeper.launch.keep_s:
                problem += ", and its machine is kept once that is over"
                hint = f"gpulease attach {keeper.id} ends then; submit again"
        raise UsageError(problem, hint=hint)
    if keeper.wish is not Wish.GO_ON or now_s >= keeper.kept_until_s:
        raise UsageError(f"the kept machine of {keeper.name} is on its way back", hint=_ANOTHER)
    if keeper.returning:
        raise UsageError(
            f"an earlier machine of {keeper.name} is not proven gone yet", hint="try again soon"
        )
    return lease


def reuse_plan(material: Material, keeper: Run, capabilities: Capabilities, now_s: float) -> Plan:
    """What a job would do on a kept machine, and what it may cost.

    Raises: UsageError when there is none; NoOffer when it is not what the job needs; BudgetRefused
    when its cap or its deadline leaves no room.
    """
    lease = kept_lease(keeper, now_s)
    _check_fits(material, keeper, lease)
    cap_usd = _cap_usd(material.job, keeper, now_s)
    _check_reaped(lease, keeper, cap_usd, now_s)
    taken = _taken(lease, "", material, cap_usd, now_s)
    price = _price(lease)
    low_h, high_h = forecast_hours(material, lease.offer, None)
    usd = [(price.usd_per_hour * Decimal(str(hours))).quantize(CENT) for hours in (low_h, high_h)]
    candidate = Candidate(
        offer=lease.offer,
        hours=(low_h, high_h),
        cost_usd=(usd[0], usd[1]),
        work_s=taken.stop_s - now_s,
        deadline_s=taken.deadline_s - now_s,
        capped=taken.capped,
        guard=lease.guard,
    )
    told = [
        f"machine: {lease.machine_id} of {keeper.name}, kept until {to_iso(keeper.kept_until_s)}"
    ]
    if lease.bills:
        told.append(
            f"cap: ${cap_usd:.2f}, of the ${keeper.cap_usd:.2f} under which {keeper.name} rented it"
        )
    # A reaper goes by the deadline in the label.
    labelled = replace(candidate, deadline_s=lease.latest_s - now_s)
    guards = guard_sentences(labelled, capabilities, material.launch)
    if lease.bills and lease.guard not in UNGUARDED:
        told[0] += f"; it ends itself by {to_iso(taken.deadline_s)} at the latest"
        guards = tuple(one for one in guards if not one.startswith("machine:"))
    return Plan(
        material=material,
        candidates=(candidate,),
        refused=(),
        cap_usd=cap_usd,
        suggested_usd=cap_usd,
        worst_usd=cap_usd if lease.bills else Decimal(0),
        reserve_usd=min(cap_usd, price.for_seconds(_after_work_s(material.launch))),
        start_by_s=min(now_s + START_BY_S, keeper.kept_until_s),
        guards=(*told, *guards),
        warnings=material.warnings,
    )


def take_over(keeper: Run, plan: Plan, run_id: str, now_s: float) -> tuple[Run, Run, list[Entry]]:
    """The keeper at its end, the run that goes on with its machine, and what that commits.

    All of it belongs into one transaction: never do two runs own a machine, and never none.
    Raises: as `reuse_plan`.
    """
    lease = kept_lease(keeper, now_s)
    job = plan.material.job
    cap_usd = _cap_usd(job, keeper, now_s)
    taken = _taken(lease, run_id, plan.material, cap_usd, now_s)
    handed = lease.move(
        LeaseState.HANDED,
        gone_s=now_s,
        handed_to=run_id,
        why_ended=f"run {run_id} went on with the machine",
    )
    after = keeper.with_lease(handed).move(State.ENDED, now_s)
    machine = keeper.launch  # of its image and disk the machine was made
    launch = replace(plan.material.launch, image=machine.image, disk_gib=machine.disk_gib)
    taker = Run(
        id=run_id,
        name=job.name,
        kind=job.kind,
        job=job.to_document(),
        job_hash=job_hash(job),
        launch=launch,
        candidates=plan.candidates,
        cap_usd=cap_usd,
        max_duration_s=job.budget.max_duration_s,
        created_s=now_s,
        start_by_s=now_s + START_BY_S,
        state_since_s=now_s,
        state=State.SHIPPING,
        leases=(replace(taken, taken_from=keeper.id),),
        notes=tuple(plan.warnings),
    )
    entries = [Entry(now_s, run_id, EntryKind.COMMITTED, cap_usd, taken.key)]
    return after, taker, entries if lease.bills else []


def _taken(lease: Lease, run_id: str, material: Material, cap_usd: Decimal, now_s: float) -> Lease:
    """The lease as the next run has it: the same machine and label, counted from now on."""
    launch = material.launch
    traffic = lease.traffic.taken_over(launch.traffic)
    fitted = terms(
        _price(lease),
        cap_usd=cap_usd,
        max_duration_s=material.job.budget.max_duration_s,
        hold_s=launch.hold_s + launch.keep_s,
        collect_s=launch.collect_s,
        traffic_usd=traffic.planned_usd(lease.offer.price),
        increment_s=lease.increment_s,
    )
    last_s = min(lease.latest_s, now_s + fitted.deadline_s)
    stop_s = min(now_s + fitted.work_s, last_s - _after_work_s(launch))
    if stop_s - now_s < LEAST_WORK_S:
        raise BudgetRefused(
            f"the kept machine must be back by {to_iso(lease.latest_s)}, and that leaves no minute "
            "of work beside collecting, holding and keeping",
            hint=f"{_ANOTHER}; or lower artifacts.hold or --keep",
        )
    return replace(
        lease,
        key=f"{lease.label}+{run_id}",
        run_id=run_id,
        version=0,
        deadline_s=float(int(last_s)),
        stop_s=stop_s,
        capped=fitted.capped and stop_s == now_s + fitted.work_s,
        sent_s=now_s,
        began_s=now_s,
        did_work=False,
        why_ended="",
        traffic=traffic,
        pulled_bytes=0,
        pulled_s=0.0,
    )


def _check_reaped(lease: Lease, keeper: Run, cap_usd: Decimal, now_s: float) -> None:
    """A smaller cap must reach until another host's reaper ends a machine without a guard.

    All that is left of the first cap does: that plan reckoned with it.
    """
    if lease.guard != "watched" or cap_usd >= keeper.cap_usd - keeper.upper_usd(now_s):
        return
    until_s = lease.latest_s + late_s(lease.guard)
    worst_usd = _price(lease).for_seconds(until_s - now_s + RETURN_S)
    if worst_usd > cap_usd:
        raise BudgetRefused(
            "the kept machine does not end itself: the reaper on another host would by "
            f"{to_iso(until_s)}, and until then it may cost ${worst_usd:.2f}, not ${cap_usd:.2f}",
            hint=f"raise budget.max_cost; or {_ANOTHER}",
        )


def _check_fits(material: Material, keeper: Run, lease: Lease) -> None:
    launch, job = material.launch, material.job
    allowed = job.providers
    kind = lease.provider.partition(":")[0]
    problem, hint = "", _ANOTHER
    if allowed and lease.provider not in allowed and kind not in allowed:
        hint = f"--on {lease.provider} allows it; {_ANOTHER}"
        problem = f"it is on {lease.provider}, and the job's providers are {', '.join(allowed)}"
    elif lease.bills and launch.image != keeper.launch.image:
        problem = f"its image is {keeper.launch.image}, and the job needs {launch.image}"
    elif lease.bills and launch.disk_gib > keeper.launch.disk_gib:
        has_gib = keeper.launch.disk_gib
        problem = f"its disk has {has_gib} GiB, and the job needs {launch.disk_gib} GiB"
    elif lease.guard == "absent" and not launch.accept_unguarded:
        problem = "it cannot end itself, and the job does not say accept_unguarded"
    elif chosen := select(material.need, [lease.offer], _no_cost).refused:
        problem = chosen[0][1]
    if problem:
        raise NoOffer(f"the kept machine does not fit: {problem}", hint=hint)


def _cap_usd(job: Job, keeper: Run, now_s: float) -> Decimal:
    """What the job asks for, at most what is left of the cap of the machine's first run."""
    left_usd = max(Decimal(0), keeper.cap_usd - keeper.upper_usd(now_s))
    asked_usd = job.budget.max_cost_usd
    return left_usd if asked_usd is None else min(asked_usd, left_usd)


def _price(lease: Lease) -> Price:
    return Price(max(lease.usd_per_hour, lease.offer.price.usd_per_hour))


def _after_work_s(launch: Launch) -> float:
    return GRACE_S + launch.collect_s + launch.hold_s + launch.keep_s


def _no_cost(_: Offer) -> Decimal:
    return Decimal(0)
