"""BOOTING: a login is the only proof that a machine is ready; its host key is pinned first."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import HostKeyMismatch, MachineNotFound, ProviderError, Unreachable
from orchestrator.lifecycle.boot_log import keep_boot_log
from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.lifecycle.deadlines import LOGIN_S, SHELL_RETRY_S
from orchestrator.lifecycle.host_keys import given_host_key
from orchestrator.lifecycle.leasing import abandon, abandon_unbooted, cancelled
from orchestrator.lifecycle.steps.drill import await_end
from orchestrator.lifecycle.steps.over import end_unshipped
from orchestrator.lifecycle.steps.rent import (
    not_as_offered,
    seen_running,
    seen_taken,
    with_machine,
)
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.providers.base import (
    BootLog,
    BootTrouble,
    Machine,
    MachineStatus,
    OwnLogin,
    Provider,
    SshAddress,
)
from orchestrator.remote.keys import shown_host_key
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import State, Wish

_BOOT_LOG_S = 15.0  # sshd answers → its host key is in the boot log
_TRIED_S = 30.0  # by this process, awake: whoever slept or begins anew knows nothing yet
_TROUBLE_S = 60.0  # a host is asked so often what keeps a machine from coming up
_AT_ONE_ADDRESS_S = 45.0
_SHORTEST_S = 0.3
_LOOK_SHARE = 0.2  # a wait of 2 s is looked at every 0.4 s, one of a minute every poll_s
_KNOCK_SHARE = 0.05
_GIVEN = "first boot"  # the machine was given its host key when it was rented


def connect(run: Run, world: World) -> Step:
    """Wait for an address, pin the host key, log in."""
    lease = run.lease
    assert lease is not None
    if run.launch.drill:
        return await_end(run, world)
    if run.wish is not Wish.GO_ON:
        return cancelled(run, world)
    if over := end_unshipped(run, world):
        return over
    tried_s = world.awake_since_first_saw_s(f"{lease.key} boots")
    step = _try(run, world, lease)
    capabilities = world.accounts.provider(lease.provider).capabilities
    limit_s = boot_deadline_s(lease.offer, capabilities) + (LOGIN_S if lease.ssh_host else 0.0)
    now_s = world.clock.now_s()
    is_late = now_s - run.state_since_s > limit_s or now_s > lease.stop_s
    if isinstance(step, Moved) or not is_late or tried_s < _TRIED_S:
        return step
    why = f"nobody could log in within {limit_s / 60:.0f} min"
    return abandon_unbooted(keep_boot_log(run, world, lease), world, lease, why)


def _try(run: Run, world: World, lease: Lease) -> Step:
    provider, identity = world.accounts.renter(lease.account, lease.provider)
    waited_s = world.clock.now_s() - run.state_since_s
    look_s = _pace_s(waited_s, _LOOK_SHARE, provider.capabilities.poll_s)
    found = world.accounts.snapshot(lease.provider, max_age_s=look_s)
    machine = found.by_id(lease.machine_id)
    if machine is None:
        if not world.accounts.proves_absence(lease.account, identity):
            problem = f"the {lease.provider} key at hand may be another account's"
            return Wait(world.other_key(lease, provider), problem)
        return _missing(run, world, lease, provider)
    world.right_key(lease)
    if machine.status in (MachineStatus.FAILED, MachineStatus.STOPPED):
        lease = seen_taken(lease, machine, world.clock.now_s())
        why = f"the provider says that it is {machine.status}"
        if lease.reclaimed_s is not None:
            why = "a higher bid took it before anybody could log in"
        return abandon_unbooted(keep_boot_log(run, world, lease), world, lease, why)
    if _is_out_of_touch(world, lease, machine, provider):
        why = "its provider has lost touch with it before anybody could log in"
        return abandon_unbooted(keep_boot_log(run, world, lease), world, lease, why)
    lease = seen_running(_at_next_address(world, lease, machine), machine, world.clock.now_s())
    if problem := not_as_offered(run, lease, machine, world.clock.now_s()):
        # The answer to create need not have told.
        return abandon(run, world, lease, problem)
    if machine.address is None:
        if trouble := _trouble(world, lease, machine, provider, waited_s):
            return abandon_unbooted(keep_boot_log(run, world, lease), world, lease, trouble)
        return Wait(min(look_s / 2, 1.0), "the machine boots")
    knock_s = _pace_s(waited_s, _KNOCK_SHARE, SHELL_RETRY_S)
    return _log_in(run, world, lease, knock_s)


def _is_out_of_touch(world: World, lease: Lease, machine: Machine, provider: Provider) -> bool:
    """Whether a new machine has failed its provider's own check for too long."""
    key = f"{lease.key} is out of touch"
    if machine.status is not MachineStatus.OUT_OF_TOUCH:
        world.first_saw.pop(key, None)
        return False
    return world.awake_since_first_saw_s(key) >= provider.capabilities.out_of_touch_s


def _at_next_address(world: World, lease: Lease, machine: Machine) -> Lease:
    """The lease as the provider tells it, at one of the machine's addresses for a while each.

    Which of them can be reached from here only a login shows; then it is kept.
    """
    addresses = machine.other_addresses
    if not isinstance(machine.address, SshAddress) or not addresses or lease.host_key:
        return with_machine(lease, machine)
    turn = int(world.awake_since_first_saw_s(f"{lease.key} knocks") // _AT_ONE_ADDRESS_S)
    chosen = (machine.address, *addresses)[turn % (1 + len(addresses))]
    return with_machine(replace(lease, ssh_host=chosen.host, ssh_port=chosen.port), machine)


def _trouble(
    world: World, lease: Lease, machine: Machine, provider: Provider, waited_s: float
) -> str:
    """Why a machine without an address will not come up; empty while it may."""
    limit_s = provider.capabilities.address_s
    runs = machine.status is MachineStatus.RUNNING and lease.offer.trust != "secure"
    ran_s = world.awake_since_first_saw_s(f"{lease.key} has no address") if runs else 0.0
    if limit_s and ran_s >= limit_s:
        return f"it runs, and for {limit_s / 60:.0f} min it has had no address"
    asked = f"{lease.key} trouble {waited_s // _TROUBLE_S:.0f}"
    if waited_s < _TROUBLE_S or asked in world.first_saw or not isinstance(provider, BootTrouble):
        return ""
    world.awake_since_first_saw_s(asked)
    try:
        trouble = provider.boot_trouble(machine.id)
    except ProviderError:
        return ""
    return trouble and f"its host cannot start it: {trouble}"


def _pace_s(waited_s: float, share: float, longest_s: float) -> float:
    """How soon to look again: a short boot is not waited for long, a long one not asked often.

    From 0.3 to 5 s that is 27 lists in the first minute and 12 in each later one, whatever the
    number of runs; RunPod allows 60.
    """
    return min(longest_s, max(_SHORTEST_S, waited_s * share))


def _log_in(run: Run, world: World, lease: Lease, again_s: float) -> Step:
    if lease.folder:
        lease = replace(lease, host_key_by="this computer")
    elif isinstance(world.accounts.provider(lease.provider), OwnLogin):
        lease = replace(lease, host_key_by="your OpenSSH")
    elif not lease.host_key:
        # Asked first, because the provider's calls are counted and these knocks are not.
        if not world.answers(lease):
            return Wait(again_s, "sshd does not answer yet", run.with_lease(lease))
        lease = _pin(run, world, lease)
        if not lease.host_key_by:
            problem = "its boot log does not show the host key yet"
            return Wait(SHELL_RETRY_S / 2, problem, run.with_lease(lease))
    try:
        opened = world.open_shell(run, lease)
    except HostKeyMismatch as error:
        if lease.host_key_by == _GIVEN:  # its sshd may be up before it takes the key; until then
            return Wait(
                max(again_s, 1.0), "it does not show its own host key yet", run.with_lease(lease)
            )
        return abandon(run, world, lease, error.problem)
    except Unreachable as error:
        waiting = f"sshd does not answer yet: {error.problem}"
        return Wait(again_s, waiting, run.with_lease(lease))
    world.shells[lease.connection] = opened.shell
    if opened.host_key:  # whole, where only its hash was known
        lease = replace(lease, host_key=opened.host_key)
    if lease.ran_s is None:  # it answers, whatever its provider calls it yet
        lease = replace(lease, ran_s=world.clock.now_s())
    moved = run.with_lease(lease).move(State.SHIPPING, world.clock.now_s())
    return Moved(moved, events=(f"logged in (host key by {lease.host_key_by or 'nobody'})",))


def _pin(run: Run, world: World, lease: Lease) -> Lease:
    """The lease with the machine's own host key, as its boot log says, else by first use.

    `host_key_by` stays empty while the log may still show it.
    """
    provider = world.accounts.provider(lease.provider)
    if provider.capabilities.takes_host_key:
        given = given_host_key(world.cargo.folder(run), lease.label)
        if given:
            return replace(lease, host_key=given, host_key_by=_GIVEN)
    if isinstance(provider, BootLog) and provider.capabilities.has_boot_log:
        assert lease.machine_id is not None
        try:
            shown = shown_host_key(
                provider.boot_log(lease.machine_id, lambda text: bool(shown_host_key(text)))
            )
        except ProviderError:
            shown = ""
        if shown:
            return replace(lease, host_key=shown, host_key_by="boot log")
        if world.awake_since_first_saw_s(f"{lease.key} answers") < _BOOT_LOG_S:
            return lease
    return replace(lease, host_key_by="first use")


def _missing(run: Run, world: World, lease: Lease, provider: Provider) -> Step:
    """Not in the list: only its id tells whether it is gone or the list lags."""
    assert lease.machine_id is not None
    try:
        provider.get_machine(lease.machine_id)
    except MachineNotFound:
        waited_s = world.awake_since_first_saw_s(f"{lease.key} lost")
        if waited_s < provider.capabilities.list_lag_s:
            return Wait(2.0, "the provider does not know the machine yet")
        return abandon_unbooted(run, world, lease, "the machine vanished while it booted")
    return Wait(2.0, "the machine is not listed yet")
