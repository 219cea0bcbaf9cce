"""Renting: one create per recorded intent, ever; a lost reply is looked for, never repeated."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.caps import RETURN_S
from orchestrator.budget.price import CENT, Price
from orchestrator.errors import (
    BadCredentials,
    GpuleaseError,
    InvalidRequest,
    NotSent,
    ProviderError,
    RateLimited,
    Recovery,
    RentedAnyway,
)
from orchestrator.lifecycle.deadlines import SECOND_MISS_S
from orchestrator.lifecycle.leasing import (
    abandon,
    cancelled,
    ends_itself,
    finish,
    good_from,
    lost_label,
    next_offer,
    nothing_rented,
    stays_open_usd,
    to_failure,
    too_late,
    with_stray,
)
from orchestrator.lifecycle.steps.ask_again import ask_again
from orchestrator.lifecycle.steps.restored import take_up
from orchestrator.lifecycle.world import INTENT_GOOD_S, Moved, Step, Wait, World
from orchestrator.offers.gpus import canonical
from orchestrator.providers.base import (
    FolderAddress,
    GuardWay,
    Machine,
    MachineStatus,
    SshAddress,
    known_as,
)
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish

_DEARER = Decimal("1.05")
_DISK_SHARE = 0.98  # a file system takes some of it
_OVERPRICE = 1.05  # RunPod facts §9: more than 5 % above the offer is another offer


def record_intent(run: Run, world: World) -> Step:
    """PLANNED: write down that this process is about to call create."""
    lease = run.lease
    if lease is None or lease.state is not LeaseState.INTENDED:
        return ask_again(run, world)
    now_s = world.clock.now_s()
    if forgotten := take_up(run, world, lease):
        return forgotten
    if run.wish is not Wish.GO_ON:
        return cancelled(run.with_lease(nothing_rented(lease, "cancelled")), world)
    if now_s > run.start_by_s:
        outcome, failure = too_late(run)
        run = run.with_lease(nothing_rented(lease, "the plan expired"))
        return finish(run, world, outcome, failure, failure.problem)
    if stays_open_usd(run, now_s) + _worst_usd(lease, now_s) > run.cap_usd:
        if run.returning:
            return Wait(1.0, "an earlier machine is on its way back: both might pass the cap")
        run = run.with_lease(nothing_rented(lease, "an earlier machine took too long to go back"))
        return next_offer(run, world, "an earlier machine cost more than was kept", same=True)
    identity = world.accounts.identity(lease.provider)
    lease = replace(lease, account=identity, intent=world.new_intent(), sent_s=now_s)
    moved = run.with_lease(lease).move(State.RENTING, now_s)
    return Moved(moved, events=(f"renting {lease.offer.id} as {lease.label}",), claim=lease.key)


def create(run: Run, world: World) -> Step:
    """RENTING: send the create that this process recorded, or look for somebody else's."""
    lease = _current(run)
    age_s = world.take_intent(lease)
    now_s = world.clock.now_s()
    if age_s is None:
        return Moved(run.move(State.LOOKING, now_s), events=("looking for what may be rented",))
    if run.wish is not Wish.GO_ON:
        return cancelled(run.with_lease(nothing_rented(lease, "cancelled")), world)
    taken_s = world.clock.elapsed_s()
    try:
        # Another thread may have exchanged a refused key for one of another account.
        provider, identity = world.accounts.renter(lease.account, lease.provider)
        request = world.cargo.request(run, lease)
    except (GpuleaseError, OSError) as error:
        problem = getattr(error, "problem", str(error))
        run = run.with_lease(nothing_rented(lease, problem))
        return finish(run, world, Outcome.REFUSED, Failure("home", problem, exit_code=2), problem)
    if not world.accounts.proves_absence(lease.account, identity):
        run = run.with_lease(nothing_rented(lease, "another key is in use since the intent"))
        return next_offer(run, world, "another key is in use since the intent", same=True)
    lease = replace(lease, account=known_as(lease.account, identity))
    if age_s + world.clock.elapsed_s() - taken_s > INTENT_GOOD_S:
        run = run.with_lease(nothing_rented(lease, "the intent grew old before it was sent"))
        return next_offer(run, world, "the intent grew old unsent", same=True)
    world.accounts.outdate(lease.provider)
    try:
        machine = provider.create_machine(request)
    except RentedAnyway as error:
        return abandon(run, world, _hold(lease, error.machine_id, now_s), error.problem)
    except NotSent as error:
        run = run.with_lease(nothing_rented(lease, error.problem))
        return next_offer(run, world, error.problem, same=True, after_s=error.retry_after_s)
    except RateLimited as error:
        if not provider.capabilities.rate_limit_is_proof:
            return _look(run, world, error.problem)
        run = run.with_lease(nothing_rented(lease, error.problem))
        return next_offer(run, world, error.problem, same=True, after_s=error.retry_after_s)
    except ProviderError as error:
        return _refused(run, world, lease, error)
    except Exception as error:  # anything unforeseen may have rented: only a look can tell
        return _look(run, world, f"create ended oddly: {type(error).__name__}")
    return adopt(run, world, lease, machine)


def look(run: Run, world: World) -> Step:
    """LOOKING: adopt the oldest machine under the label, or prove that there is none."""
    lease = _current(run)
    known_s, asked_s = world.awake_since_first_saw_s(lease.key), world.clock.elapsed_s()
    provider, _ = world.accounts.renter(lease.account, lease.provider)
    capabilities = provider.capabilities
    snapshot = world.accounts.snapshot(lease.provider, max_age_s=capabilities.poll_s / 2)
    unlisted_s = world.longest_unlisted_s(lease, snapshot.began_s)
    found = snapshot.under(lease.label)
    if found:
        world.right_key(lease)
        lease = replace(lease, account=known_as(lease.account, snapshot.identity))
        for extra in found[1:]:
            why = "a second machine under one label"
            run = with_stray(run, lease, extra, snapshot.identity, why)
        return adopt(run, world, lease, found[0])
    if not world.accounts.proves_absence(lease.account, snapshot.identity):
        problem = f"the {lease.provider} key at hand may be another account's"
        return Wait(world.other_key(lease, provider), problem)
    world.right_key(lease)
    left_s = capabilities.settle_s - (known_s - max(0.0, asked_s - snapshot.began_s))
    if left_s > 0:
        return Wait(min(left_s, capabilities.poll_s), "a machine just rented may not be listed yet")
    if capabilities.one_miss_is_noise:
        apart_s = snapshot.began_s - world.first_missed_s(lease, snapshot.began_s)
        if apart_s < SECOND_MISS_S:
            return Wait(SECOND_MISS_S - apart_s, "not listed once; one miss is noise")
    unseen_s = unlisted_s + capabilities.list_lag_s
    by_itself = capabilities.guard is not GuardWay.NONE and ends_itself(run, lease)
    lost = lost_label(lease, world.clock.now_s(), unseen_s, ends_itself=by_itself)
    if lost.bound_usd and lost.bound_usd >= CENT:
        run = run.note(
            f"a machine may have lived as {lease.label} while nobody watched: it is counted "
            f"with ${lost.bound_usd:.2f}"
        )
    # Its provider refused nothing: the offer is as good as before, unless that happens again.
    is_first = not any(one.is_lost and one.offer == lease.offer for one in run.leases)
    if any(one.has_machine for one in run.leases):
        # No first machine is rented late; where one was, looking for another's takes no time of it.
        run = good_from(run, (lease.sent_s or 0.0) + capabilities.settle_s)
    why = "no machine appeared under the label"
    return next_offer(run.with_lease(lost), world, why, same=is_first)


def adopt(run: Run, world: World, lease: Lease, machine: Machine) -> Moved:
    """Take a machine under the lease, unless its price or card is not what was offered."""
    now_s = world.clock.now_s()
    held = with_machine(_hold(lease, machine.id, _billing_start(lease, machine, now_s)), machine)
    if problem := not_as_offered(run, held, machine, now_s):
        return abandon(run, world, held, problem)
    if run.wish is not Wish.GO_ON:
        return cancelled(run.with_lease(held), world)
    moved = run.with_lease(held).move(State.BOOTING, now_s)
    price = f"${held.usd_per_hour:.2f}/h"
    return Moved(moved, events=(f"rented {machine.id} on {lease.provider} at {price}",))


def with_machine(lease: Lease, machine: Machine) -> Lease:
    """The lease with what the provider says of its machine now; an address that is known stays."""
    address = machine.address
    known = (lease.ssh_host, lease.ssh_port)
    for other in machine.other_addresses:
        address = other if (other.host, other.port) == known else address
    if isinstance(address, SshAddress):
        lease = replace(lease, ssh_host=address.host, ssh_port=address.port, ssh_user=address.user)
    elif isinstance(address, FolderAddress):
        lease = replace(lease, folder=str(address.path))
    if machine.region:
        lease = replace(lease, region=machine.region)
    if machine.usd_per_hour > 0:
        lease = replace(lease, usd_per_hour=machine.usd_per_hour)
    return lease


def seen_running(lease: Lease, machine: Machine, now_s: float) -> Lease:
    """The lease with the moment from which its machine runs, the first time that it is seen to."""
    if machine.status is not MachineStatus.RUNNING or lease.ran_s is not None:
        return lease
    return replace(lease, ran_s=max(lease.sent_s or 0.0, now_s - (machine.up_s or 0.0)))


def seen_taken(lease: Lease, machine: Machine | None, now_s: float) -> Lease:
    """The lease with the moment at which its bid was first seen to be lost."""
    is_stopped = machine is not None and machine.status is MachineStatus.STOPPED
    if not (lease.offer.spot and is_stopped) or lease.reclaimed_s is not None:
        return lease
    return replace(lease, reclaimed_s=now_s)


def _worst_usd(lease: Lease, since_s: float) -> Decimal:
    """What a machine costs that lives from `since_s` to its deadline and is slow to go."""
    if not lease.bills:
        return Decimal(0)
    price = Price(max(lease.usd_per_hour, lease.offer.price.usd_per_hour))
    life_s = max(0.0, lease.deadline_s - since_s) + RETURN_S
    traffic_usd = lease.traffic.planned_usd(lease.offer.price)
    return price.for_seconds(life_s, increment_s=lease.increment_s) + traffic_usd


def _current(run: Run) -> Lease:
    lease = run.lease
    assert lease is not None, "a run that rents has a lease"
    return lease


def _hold(lease: Lease, machine_id: str, began_s: float) -> Lease:
    return lease.move(LeaseState.HELD, machine_id=machine_id, began_s=began_s)


def _billing_start(lease: Lease, machine: Machine, now_s: float) -> float:
    """The provider's own time when it is believable, else ours."""
    sent_s = lease.sent_s or now_s
    believable = sent_s - 5.0 <= machine.created_at_s <= now_s + 5.0
    return machine.created_at_s if believable else sent_s


def not_as_offered(run: Run, lease: Lease, machine: Machine, now_s: float) -> str:
    """Why a machine is not what its offer said; empty when it is."""
    offer = lease.offer
    offered = offer.price.usd_per_hour
    if float(machine.usd_per_hour) > float(offered) * _OVERPRICE:
        return f"it costs ${machine.usd_per_hour:.3f}/h, not the ${offered:.3f}/h of the offer"
    others_usd = stays_open_usd(run, now_s, but=lease.key)
    if machine.usd_per_hour > offered and (
        others_usd + _worst_usd(lease, lease.sent_s or now_s) > run.cap_usd
    ):
        return f"at ${machine.usd_per_hour:.3f}/h its deadline would pass the cap"
    if offer.gpu and machine.gpu and canonical(machine.gpu) != offer.gpu:
        return f"it has a {machine.gpu}, not the {offer.gpu} of the offer"
    if offer.gpu and machine.gpu_count < offer.gpu_count:
        return f"it has {machine.gpu_count} GPUs, not {offer.gpu_count}"
    if machine.disk_gib is not None and machine.disk_gib < run.launch.disk_gib * _DISK_SHARE:
        return f"its disk has {machine.disk_gib:.0f} GiB, not the {run.launch.disk_gib} asked for"
    if machine.traffic is not None and (
        machine.traffic.upload_usd_per_gib > offer.price.upload_usd_per_gib * _DEARER
        or machine.traffic.download_usd_per_gib > offer.price.download_usd_per_gib * _DEARER
    ):
        return "its traffic costs more than the offer said"
    if machine.spot and not offer.spot:
        return "it was rented as a bid, and may be taken away"
    return ""


def _refused(run: Run, world: World, lease: Lease, error: ProviderError) -> Step:
    if error.recovery is Recovery.NEXT_OFFER:
        run = run.with_lease(nothing_rented(lease, error.problem))
        if isinstance(error, InvalidRequest) and _all_said(run, error.problem):
            return finish(run, world, Outcome.REFUSED, to_failure(error), error.problem)
        return next_offer(run, world, error.problem)
    if error.recovery is Recovery.STOP:
        if isinstance(error, BadCredentials):
            world.accounts.forget(lease.provider)
        run = run.with_lease(nothing_rented(lease, error.problem))
        if others := _other_provider(run, lease.provider):
            return next_offer(replace(run, next_candidate=others), world, error.problem)
        return finish(run, world, Outcome.REFUSED, to_failure(error), error.problem)
    return _look(run, world, error.problem)


def _all_said(run: Run, problem: str) -> bool:
    """Whether every offer was refused in the same words: then the request itself is wrong."""
    tried_all = run.next_candidate >= len(run.candidates)
    return tried_all and {lease.why_ended for lease in run.leases} == {problem}


def _other_provider(run: Run, provider: str) -> int:
    """Index of the next offer of another provider, 0 when there is none."""
    left = range(run.next_candidate, len(run.candidates))
    return next((i for i in left if run.candidates[i].offer.provider != provider), 0)


def _look(run: Run, world: World, why: str) -> Moved:
    return Moved(run.move(State.LOOKING, world.clock.now_s()), events=(f"{why}; looking",))
