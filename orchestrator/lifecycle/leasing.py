"""Leases of a run: the next one, and how a run lets go of one. Pure but for the clock's reading."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.caps import RETURN_S, terms
from orchestrator.budget.price import Price
from orchestrator.budget.traffic import Traffic
from orchestrator.clock import to_iso
from orchestrator.errors import BudgetRefused, GpuleaseError
from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.lifecycle.deadlines import (
    IDLE_SHARE,
    MAX_CREATED,
    MOST_REFUSALS,
    SLOW_BOOT_S,
    START_BY_S,
    UNSHIPPED_S,
)
from orchestrator.lifecycle.guards import UNGUARDED, late_s
from orchestrator.lifecycle.world import Moved, World
from orchestrator.providers.base import BillingStart, Capabilities, Machine, known_as
from orchestrator.runs.label import Label
from orchestrator.runs.lease import TOMBSTONE_WATCH_S, Lease
from orchestrator.runs.run import Candidate, Failure, Launch, Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.spec.limits import format_duration

_SLOW_RETURN_S = 600.0

_CLOCKS_S = 60.0  # so far a provider's clock may be ahead of ours


def new_lease(
    *,
    home_id: str,
    run_id: str,
    n: int,
    candidate: Candidate,
    account: str,
    capabilities: Capabilities,
    launch: Launch,
    cap_usd: Decimal,
    max_duration_s: float,
    spent_usd: Decimal,
    now_s: float,
) -> Lease:
    """The next machine's lease, with its label and deadline. Raises: BudgetRefused."""
    offer = candidate.offer
    fitted = terms(
        offer.price,
        cap_usd=cap_usd,
        max_duration_s=max_duration_s,
        hold_s=launch.hold_s + launch.keep_s,
        collect_s=launch.collect_s,
        spent_usd=spent_usd,
        traffic_usd=launch.traffic.planned_usd(offer.price),
        late_s=late_s(candidate.guard),
        increment_s=capabilities.billing_increment_s,
    )
    deadline_s = int(now_s + fitted.deadline_s)
    is_idle_first = capabilities.billing_starts is BillingStart.RUNNING
    idle_usd = offer.price.disk_usd_per_hour if is_idle_first else None
    label = str(Label(home_id, run_id, n, int(now_s), deadline_s))
    return Lease(
        key=label,
        label=label,
        run_id=run_id,
        provider=offer.provider,
        account=account,
        offer=offer,
        deadline_s=float(deadline_s),
        stop_s=now_s + fitted.work_s,
        capped=fitted.capped,
        bills=capabilities.bills,
        increment_s=capabilities.billing_increment_s,
        usd_per_hour=offer.price.usd_per_hour,
        idle_usd_per_hour=idle_usd,
        traffic=launch.traffic,
    )


def nothing_rented(lease: Lease, why: str, *, watch_until_s: float = 0.0) -> Lease:
    """The lease of a create that made no machine; a person never pays for it."""
    return lease.move(LeaseState.TOMBSTONE, why_ended=why, watch_until_s=watch_until_s)


def lost_label(lease: Lease, now_s: float, unseen_s: float, *, ends_itself: bool) -> Lease:
    """The lease of a create whose reply was lost and whose machine never showed up.

    It counts as if a machine had lived for as long as one can unseen.

    Args:
        unseen_s: the longest stretch since the create in which no list would have shown it.
        ends_itself: without any program. Another that is gone was ended by somebody, at its
            deadline as far as one can know.
    """
    why = "the reply to create was lost, and no machine appeared"
    lost = nothing_rented(lease, why, watch_until_s=now_s + TOMBSTONE_WATCH_S)
    sent_s = lease.sent_s or now_s
    longest_s = SLOW_BOOT_S + UNSHIPPED_S if ends_itself else lease.deadline_s - sent_s
    ended_s = min(now_s, sent_s + min(unseen_s, longest_s))
    return replace(lost, bound_usd=replace(lease, gone_s=ended_s).upper_usd(now_s))


def with_stray(run: Run, lease: Lease, machine: Machine, account: str, why: str) -> Run:
    """The run with another machine under a lease's label, on its way back under its own lease.

    One that was called gone, and lives, counts from that moment on.

    Args:
        account: identity that saw it.
    """
    same = [one for one in run.leases if (one.label, one.machine_id) == (lease.label, machine.id)]
    gone_s = max((one.gone_s for one in same if one.gone_s is not None), default=None)
    created_s = max(lease.sent_s or 0.0, machine.created_at_s - _CLOCKS_S)
    stray = Lease(
        key=f"{lease.label}/{machine.id}" + (f"/{len(same) + 1}" if same else ""),
        label=lease.label,
        run_id=lease.run_id,
        provider=lease.provider,
        account=known_as(lease.account, account),
        offer=lease.offer,
        deadline_s=lease.deadline_s,
        stop_s=lease.stop_s,
        bills=lease.bills,
        increment_s=lease.increment_s,
        usd_per_hour=machine.usd_per_hour or lease.usd_per_hour,
        idle_usd_per_hour=lease.idle_usd_per_hour,
        traffic=Traffic() if same else lease.traffic,
        sent_s=created_s if gone_s is None else gone_s,
    )
    began_s = machine.created_at_s if gone_s is None else gone_s
    held = stray.move(LeaseState.HELD, machine_id=machine.id, began_s=began_s)
    return run.with_extra(held.move(LeaseState.RETURNING, why_ended=why))


def let_go(run: Run, why: str) -> Run:
    """The run with every machine that it holds on its way back."""
    for lease in run.leases:
        if lease.state is LeaseState.HELD:
            run = run.with_lease(lease.move(LeaseState.RETURNING, why_ended=lease.why_ended or why))
    return run


def finish(run: Run, world: World, outcome: Outcome, failure: Failure | None, why: str) -> Moved:
    """The run on its way to its end: through RETURNING while a machine may still bill."""
    now_s = world.clock.now_s()
    run = let_go(run, why)
    run = replace(run, outcome=run.outcome or outcome, failure=run.failure or failure, waiting="")
    end = State.RETURNING if any(lease.is_open for lease in run.leases) else State.ENDED
    return Moved(run.move(end, now_s), events=(why,))


def cancelled(run: Run, world: World) -> Moved:
    """The run ends because a person said so, before there was any work to keep."""
    return finish(run, world, Outcome.CANCELLED, None, "cancelled")


def next_offer(
    run: Run, world: World, why: str, *, same: bool = False, after_s: float = 0.0
) -> Moved:
    """Go on with the plan's next offer (or the same one) under a new label, if anything is left.

    The current lease has been moved by the caller: a tombstone, or held by mistake and let go.
    With `--wait` a run that has tried every offer waits until the providers have others.
    """
    now_s = world.clock.now_s()
    run = let_go(run, why)
    if run.wish is not Wish.GO_ON:
        return cancelled(run, world)
    index = run.next_candidate - (1 if same else 0)
    refusal = _no_more(run, index, now_s)
    waiting = waiting_run(run, now_s) if run.order is not None else None
    if waiting is not None and refusal is None and index >= len(run.candidates):
        return Moved(waiting, events=(f"{why}; waiting until something is for rent",))
    if refusal is not None:
        outcome, failure = refusal
        failure = replace(failure, problem=f"{failure.problem}; the last one: {why}")
        return finish(run, world, outcome, failure, failure.problem)
    candidate = run.candidates[index]
    offer = candidate.offer
    try:
        capabilities = world.accounts.provider(offer.provider).capabilities
    except GpuleaseError as error:
        # Its key or host is not here any more: that must not hold up the return of another's.
        skipped = replace(run, next_candidate=index + 1).note(f"{offer.id}: {error.problem}")
        return next_offer(skipped, world, f"{why}; {error.problem}", after_s=after_s)
    try:
        lease = new_lease(
            home_id=world.home_id,
            run_id=run.id,
            n=run.next_number,
            candidate=candidate,
            account="",
            capabilities=capabilities,
            launch=run.launch,
            cap_usd=run.cap_usd,
            max_duration_s=work_left_s(run, now_s),
            spent_usd=_committed_to_old(run, now_s),
            now_s=now_s,
        )
    except BudgetRefused as error:
        outcome = Outcome.CAPPED if _was_taken(run) else Outcome.REFUSED
        return finish(run, world, outcome, to_failure(error), f"{why}; {error.problem}")
    run = replace(run.with_lease(lease), next_candidate=index + 1)
    events = (f"{why}; next: {offer.id} on {offer.provider}",)
    moved = run.move(State.PLANNED, now_s)
    return Moved(moved, after_s=after_s, events=events, instead=waiting)


def abandon(run: Run, world: World, lease: Lease, why: str) -> Moved:
    """Give back a machine that did no work, and try the next offer.

    The plan stays good for a while after the boot deadline, not after this process noticed it:
    a computer that slept through it rents nothing new.
    """
    deadline_s = boot_deadline_s(lease.offer, world.accounts.provider(lease.provider).capabilities)
    run = good_from(run, (lease.sent_s or 0.0) + deadline_s)
    run = run.with_lease(replace(lease, why_ended=why))
    return next_offer(run.note(f"{lease.offer.id}: {why}"), world, why)


def good_from(run: Run, since_s: float) -> Run:
    """The run, whose plan stays good for START_BY_S after that moment; earlier it was agreed to."""
    return replace(run, start_by_s=max(run.start_by_s, since_s + START_BY_S))


def abandon_unbooted(run: Run, world: World, lease: Lease, why: str) -> Moved:
    """The same for a machine that never came up as it was sold: its offer is remembered for it."""
    failed = replace(lease, failed_boot_s=world.clock.now_s())
    return abandon(run, world, failed, why)


def too_late(run: Run) -> tuple[Outcome, Failure]:
    """How a run ends that may not rent any more."""
    if run.order is None:
        problem = "the plan was good for 15 minutes, and nothing was rented"
        if any(lease.has_machine for lease in run.leases):
            problem = "the plan is too old to rent another machine on"
        return Outcome.EXPIRED, Failure("expired", problem, "submit again", 5)
    if _was_taken(run):
        problem = "its machine was taken away by a higher bid, and no other could be rented"
        return Outcome.NO_CAPACITY, Failure("no_capacity", problem, "submit again later", 3)
    waited = format_duration(60 * round((run.start_by_s - run.created_s) / 60))
    problem = f"in {waited} nothing that fits could be rented"
    hint = "wait longer, or allow more: gpu.name, providers, regions, trust, budget.max_cost"
    return Outcome.NO_CAPACITY, Failure("no_capacity", problem, hint, 3)


def waiting_run(run: Run, now_s: float) -> Run:
    """The run when every offer was tried: the next question is a pause away from here."""
    waiting = without_old_refusals(run).move(State.PLANNED, now_s)
    return replace(waiting, asked_s=now_s, waiting=asking_until(run))


def asking_until(run: Run) -> str:
    """What a run that waits for capacity says of it."""
    until = to_iso(run.start_by_s).replace("T", " ").replace("Z", " UTC")
    return f"nothing that fits can be rented now: asking again until {until}"


def without_old_refusals(run: Run) -> Run:
    """The run with the newest of its leases under which provably nothing was rented.

    A provider may refuse for hours; nothing can appear under those labels, nor was it paid for.
    """
    refused = [
        lease
        for lease in run.leases
        if lease.state is LeaseState.TOMBSTONE
        and not (lease.has_machine or lease.bound_usd or lease.watch_until_s)
    ]
    old = {lease.key for lease in refused[:-MOST_REFUSALS]}
    kept = tuple(lease for lease in run.leases if lease.key not in old)
    return replace(run, leases=kept, dropped=run.dropped + len(old))


def stays_open_usd(run: Run, now_s: float, *, but: str = "") -> Decimal:
    """The worst that a run's other machines come to, should nobody live to see them go.

    One on its way back that no delete reaches is ended by its own guard: at its deadline, or
    sooner where nobody ever logged in to ship anything.
    """
    total = Decimal(0)
    for lease in run.leases:
        if lease.key == but or lease.sent_s is None or not lease.bills:
            continue
        total += lease.upper_usd(now_s)
        if lease.state is LeaseState.RETURNING:
            ends_s = lease.deadline_s + max(map(late_s, _grades(run, lease)))
            if not lease.host_key_by and ends_itself(run, lease):
                ends_s = min(ends_s, lease.sent_s + SLOW_BOOT_S + UNSHIPPED_S)
            hour_usd = max(lease.usd_per_hour, lease.offer.price.usd_per_hour)
            left_s = max(0.0, ends_s - now_s) + RETURN_S
            total += Price(hour_usd).for_seconds(left_s, increment_s=lease.increment_s)
    return total


def ends_itself(run: Run, lease: Lease) -> bool:
    """Whether neither plan nor machine says that it has no guard; a provider may have none."""
    return _grades(run, lease).isdisjoint(UNGUARDED)


def _grades(run: Run, lease: Lease) -> set[str]:
    """What the plan and the machine itself say of its guard."""
    return {lease.guard, *(one.guard for one in run.candidates if one.offer == lease.offer)}


def work_left_s(run: Run, now_s: float) -> float:
    """What is left of max_duration, which counts over all machines that worked."""
    worked = (
        (lease.gone_s or now_s) - lease.sent_s
        for lease in run.leases
        if lease.did_work and lease.sent_s is not None
    )
    return run.max_duration_s - sum(worked)


def to_failure(error: GpuleaseError) -> Failure:
    """An error as the run's own record of it."""
    return Failure(error.code, error.problem, error.hint, error.exit_code)


def _committed_to_old(run: Run, now_s: float) -> Decimal:
    """Spent on earlier machines, and what the ones still returning may cost until proven gone."""
    total = Decimal(0)
    for lease in run.leases:
        left_s = min(_SLOW_RETURN_S, max(0.0, lease.deadline_s - now_s)) if lease.is_open else 0.0
        total += lease.upper_usd(now_s + left_s)
    return total


def _worked_until_taken(lease: Lease) -> bool:
    return lease.did_work and lease.reclaimed_s is not None


def _was_taken(run: Run) -> bool:
    """Whether some of its work was done on a machine that was taken away for a higher bid."""
    return any(map(_worked_until_taken, run.leases))


def _no_more(run: Run, index: int, now_s: float) -> tuple[Outcome, Failure] | None:
    if now_s > run.start_by_s:
        if run.order is not None:
            return too_late(run)
        problem = "the plan is too old to rent on"
        return Outcome.EXPIRED, Failure("expired", problem, "submit again", 5)
    if index >= len(run.candidates) and run.lease is not None and run.lease.taken_from:
        problem = "the kept machine could not be used"
        hint = "submit without --reuse rents another machine"
        return Outcome.NO_CAPACITY, Failure("no_capacity", problem, hint, 3)
    if index >= len(run.candidates) and run.order is None:
        problem = f"none of the {len(run.candidates)} offers of the plan could be rented"
        hint = "submit again later, or allow more: gpu.name, providers, regions, trust"
        return Outcome.NO_CAPACITY, Failure("no_capacity", problem, hint, 3)
    return _spent_out(run, now_s)


def _spent_out(run: Run, now_s: float) -> tuple[Outcome, Failure] | None:
    """Why no further machine is tried, however many are for rent."""
    # One that worked until it was taken away did not fail: cap and max_duration bound those.
    created = sum(lease.has_machine and not _worked_until_taken(lease) for lease in run.leases)
    idle_usd = sum((lease.abandoned_usd(now_s) for lease in run.leases), Decimal(0))
    if created >= MAX_CREATED:
        idle = not any(lease.did_work for lease in run.leases)
        problem = f"{created} machines were rented" + (" and none did any work" if idle else "")
        return Outcome.NO_CAPACITY, Failure("no_capacity", problem, "see the notes", 3)
    if idle_usd > run.cap_usd * Decimal(str(IDLE_SHARE)):
        problem = f"${idle_usd:.2f} went to machines that did no work"
        return Outcome.NO_CAPACITY, Failure("no_capacity", problem, "see the notes", 3)
    return None
