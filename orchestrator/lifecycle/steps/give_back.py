"""Giving back: delete until the provider itself says gone, under the identity that rented."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.price import CENT
from orchestrator.budget.traffic import Traffic
from orchestrator.errors import BadCredentials, MachineNotFound, ProviderError
from orchestrator.lifecycle.deadlines import SECOND_MISS_S
from orchestrator.lifecycle.leasing import ends_itself
from orchestrator.lifecycle.world import World
from orchestrator.providers.base import (
    Charges,
    GuardWay,
    Provider,
    has_nameless,
    known_as,
    total_usd,
)
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State

_ASK_AGAIN_S = (5.0, 10.0, 30.0, 60.0)
_LOOKS_A_TRY = 5  # whether it is gone: an account that ends slowly has other runs to answer
_CHARGED_S = 300.0  # RunPod facts §5.2: what runs is charged every five minutes
_UNWATCHED_S = 600.0  # a proof that took longer found nobody at home
_UPLOADED_S = 30.0  # everything is in the bucket → the agent has ended the machine


def give_back(run: Run, world: World, lease: Lease) -> tuple[Run, float, str]:
    """One step towards the proof that a returning machine is gone.

    Returns: the run with the lease as it now stands, seconds until the next step, and what it
    waits for. Raises what the provider's calls raise: the engine asks again, for ever.
    """
    assert lease.machine_id is not None, "a lease that returns has a machine"
    provider, identity = world.accounts.renter(lease.account, lease.provider)
    try:
        provider.get_machine(lease.machine_id)
    except BadCredentials:
        raise  # the next try has another key
    except MachineNotFound:
        if not world.accounts.proves_absence(lease.account, identity):
            run = run.note(
                f"{lease.machine_id} is unknown to the {lease.provider} key at hand, which may be "
                "another account's: give the key that rented it"
            )
            return run, world.other_key(lease, provider), "the key that rented is needed"
        world.right_key(lease)
        return _missed(run, world, lease, provider)
    except ProviderError as error:
        if not lease.bills:
            raise
        # What cannot be read may be deleted all the same: a part of an API may fail alone.
        run, seconds, _ = _ask(run, world, lease, provider)
        return run.note(error.problem), seconds and _again_s(lease), error.problem
    world.right_key(lease)
    # Whoever sees it may prove its end, also under a key that came after the one that rented.
    account = known_as(lease.account, identity)
    lease = replace(lease, unknown_s=None, misses=0, account=account)
    world.drop_shell(lease)
    _forget_misses(world, lease)
    return _ask(run, world, lease, provider, lives=True)


def _ask(
    run: Run, world: World, lease: Lease, provider: Provider, *, lives: bool = False
) -> tuple[Run, float, str]:
    assert lease.machine_id is not None
    now_s = world.clock.now_s()
    if lease.delete_asked_s is None:
        # Written down before the call: a process that dies in it may have ended the machine.
        return run.with_lease(replace(lease, delete_asked_s=now_s)), 0.0, "it is to end"
    again_s = _again_s(lease)
    if lease.delete_tries and 0 <= now_s - lease.delete_asked_s < again_s:
        look_s = again_s / _LOOKS_A_TRY
        return run.with_lease(lease), look_s, "asked to end it; waiting until it is gone"
    asked = replace(
        lease,
        return_since_s=lease.return_since_s or now_s,
        delete_tries=lease.delete_tries + 1,
        delete_asked_s=now_s,
        # Whoever accepted it and let it live has said nothing of its end.
        delete_accepted_s=None if lives else lease.delete_accepted_s,
    )
    try:
        provider.delete_machine(lease.machine_id)
    except MachineNotFound:
        return run.with_lease(asked), 0.0, "the provider says that it is gone"
    except ProviderError as error:
        if isinstance(error, BadCredentials):
            world.accounts.forget(lease.provider)
        waiting = f"{lease.provider} refuses to end {lease.machine_id}: {error.problem}"
        return run.with_lease(asked), min(again_s, 10.0), waiting
    accepted_s = asked.delete_accepted_s
    if accepted_s is None or asked.delete_tries > 1:
        asked = replace(asked, delete_accepted_s=world.clock.now_s())
    return run.with_lease(asked), 1.0, "asked to end it; waiting until it is gone"


def _missed(run: Run, world: World, lease: Lease, provider: Provider) -> tuple[Run, float, str]:
    capabilities = provider.capabilities
    now_s = world.clock.now_s()
    if lease.unknown_s is None:
        by_itself = capabilities.guard is not GuardWay.NONE and ends_itself(run, lease)
        guess_s = _ended_guess(run, lease, now_s, ends_itself=by_itself)
        lease = replace(lease, unknown_s=guess_s)
        run = run.with_lease(lease)
    apart_s = capabilities.list_lag_s if lease.misses == 0 else SECOND_MISS_S
    waited_s = world.awake_since_first_saw_s(_miss_key(lease))
    if waited_s < apart_s:
        return run, min(apart_s - waited_s, 5.0), "gone by its id; waiting for the list to say so"
    snapshot = world.accounts.snapshot(lease.provider)
    if not world.accounts.proves_absence(lease.account, snapshot.identity):
        return run, 1.0, "the key that rented is needed"  # it was exchanged between two calls
    if snapshot.by_id(lease.machine_id) is not None:
        _forget_misses(world, lease)
        return run.with_lease(replace(lease, misses=0)), 2.0, "still listed"
    lease = replace(lease, misses=lease.misses + 1, missed_s=now_s)
    if lease.misses < (2 if capabilities.one_miss_is_noise else 1):
        return run.with_lease(lease), 0.0, "gone once; one miss is noise"
    _forget_misses(world, lease)
    world.drop_shell(lease)
    by = "provider" if lease.delete_asked_s is not None else "machine"
    lease = lease.move(LeaseState.CLOSED, gone_s=now_s, returned_by=by)
    if lease.delete_accepted_s is None or now_s - lease.delete_accepted_s > _UNWATCHED_S:
        lease = _bound_by_bill(lease, provider, now_s)
    return run.with_lease(lease), 0.0, "gone"


def _ended_guess(run: Run, lease: Lease, now_s: float, *, ends_itself: bool) -> float:
    """The latest time at which a machine can have ended, by this computer's clock.

    One without a guard may have lived until now. Another ended at its guard's time at the latest,
    unless it was seen after that: `delete_asked_s` is written while it lives, by a process that
    may die before the call.
    """
    if lease.delete_accepted_s is not None or not ends_itself:
        return now_s
    ends_s = [now_s, lease.deadline_s]
    is_its_own = run.lease is not None and run.lease.key == lease.key
    if run.exit_seen_s is not None and is_its_own and run.state is State.RETURNING:
        # The hold counts from the last byte that came home.
        ends_s.append(run.state_since_s + run.launch.hold_s + run.launch.keep_s)
    if run.uploaded_s and not run.launch.keep_s:
        ends_s.append(run.uploaded_s + _UPLOADED_S)
    return max(min(ends_s), lease.delete_asked_s or 0.0, lease.sent_s or 0.0)


def _bound_by_bill(lease: Lease, provider: Provider, now_s: float) -> Lease:
    """What the provider's own records prove, for a machine that ended while nobody watched.

    Everything until `billing_lag_s` ago is in them. A machine with no record in the last minutes
    of that time had ended before; else at most twice that time is missing, at the full rate.
    """
    if not isinstance(provider, Charges) or lease.sent_s is None:
        return lease
    label = parse_label(lease.label)  # made for its first run, where another took it over
    since_s = lease.sent_s if label is None else min(lease.sent_s, label.created_s)
    try:
        charges = provider.charges(since_s - 3600.0, now_s)
    except ProviderError:
        return lease
    ours = [charge for charge in charges if charge.machine_id == lease.machine_id]
    whole_usd = total_usd(ours)
    if not ours or whole_usd is None or has_nameless(charges):
        return lease
    if not all(charge.end_s for charge in ours):
        return lease  # until when a row counts is not told
    lag_s = provider.capabilities.billing_lag_s
    is_whole = max(charge.end_s for charge in ours) < now_s - lag_s - _CHARGED_S
    bound_usd = whole_usd + (CENT if is_whole else _unseen_usd(lease, lag_s))
    lease = replace(lease, bound_usd=bound_usd)
    own_usd = max(Decimal(0), whole_usd - _before_usd(lease))
    if is_whole or own_usd > lease.cost_usd(now_s):
        lease = replace(lease, billed_usd=own_usd)
    return lease


def _before_usd(lease: Lease) -> Decimal:
    """Of a bill that is of all its runs, what a machine had cost when this run took it over."""
    label = parse_label(lease.label)
    if not lease.taken_from or label is None or lease.sent_s is None:
        return Decimal(0)
    whole = replace(
        lease,
        began_s=float(label.created_s),
        billed_usd=None,
        traffic=Traffic(),
        delete_accepted_s=None,
        unknown_s=None,
        gone_s=None,
        reclaimed_s=None,
    )
    return whole.cost_usd(max(lease.sent_s, label.created_s))


def _again_s(lease: Lease) -> float:
    return _ASK_AGAIN_S[min(max(lease.delete_tries - 1, 0), len(_ASK_AGAIN_S) - 1)]


def _unseen_usd(lease: Lease, lag_s: float) -> Decimal:
    hour_usd = max(lease.usd_per_hour, lease.offer.price.usd_per_hour)
    return hour_usd * int(2 * lag_s) / 3600


def _miss_key(lease: Lease) -> str:
    return f"{lease.key} miss {lease.misses}"


def _forget_misses(world: World, lease: Lease) -> None:
    for misses in range(3):
        world.first_saw.pop(f"{lease.key} miss {misses}", None)
