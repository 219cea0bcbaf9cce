"""BOOTING: a login is the only proof that a machine is ready; its host key is pinned first."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import HostKeyMismatch, MachineNotFound, ProviderError, Unreachable
from orchestrator.lifecycle.deadlines import LOGIN_S, SHELL_RETRY_S
from orchestrator.lifecycle.leasing import abandon, cancelled
from orchestrator.lifecycle.steps.rent import with_machine
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.providers.base import BootLog, Machine, MachineStatus
from orchestrator.remote.keys import host_keys_in
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import State, Wish

_BOOT_LOG_TRIES = 3


def connect(run: Run, world: World) -> Step:
    """Wait for an address, pin the host key, log in."""
    lease = run.lease
    assert lease is not None
    if run.wish is not Wish.GO_ON:
        return cancelled(run, world)
    capabilities = world.accounts.provider(lease.provider).capabilities
    now_s = world.clock.now_s()
    waited_s = now_s - run.state_since_s
    limit_s = capabilities.boot_deadline_s + (LOGIN_S if lease.ssh_host else 0.0)
    if waited_s > limit_s or now_s > lease.stop_s:
        why = f"nobody could log in within {limit_s / 60:.0f} min"
        return abandon(_keep_boot_log(run, world, lease), world, lease, why)
    found = world.accounts.snapshot(lease.provider, max_age_s=capabilities.poll_s)
    machine = found.by_id(lease.machine_id)
    if machine is None:
        return _missing(run, world, lease)
    if machine.status in (MachineStatus.FAILED, MachineStatus.STOPPED):
        why = f"the provider says that it is {machine.status}"
        return abandon(_keep_boot_log(run, world, lease), world, lease, why)
    if machine.address is None:
        return Wait(min(capabilities.poll_s, 1.0), "the machine boots")
    return _log_in(run, world, with_machine(lease, machine), machine)


def _log_in(run: Run, world: World, lease: Lease, machine: Machine) -> Step:
    if not lease.host_key:
        lease, problem = _pin(run, world, lease, machine)
        if problem:
            return Wait(SHELL_RETRY_S / 2, problem, run.with_lease(lease))
    try:
        opened = world.open_shell(run, lease)
    except HostKeyMismatch as error:
        return abandon(run, world, lease, error.problem)
    except Unreachable as error:
        return Wait(SHELL_RETRY_S / 4, f"sshd does not answer yet: {error.problem}")
    world.shells[lease.key] = opened.shell
    if not lease.host_key:
        lease = replace(lease, host_key=opened.host_key)
    moved = run.with_lease(lease).move(State.SHIPPING, world.clock.now_s())
    return Moved(moved, events=(f"logged in (host key by {lease.host_key_by or 'nobody'})",))


def _pin(run: Run, world: World, lease: Lease, machine: Machine) -> tuple[Lease, str]:
    """The lease with the machine's own host key, as its boot log says, else by first use."""
    provider = world.accounts.provider(lease.provider)
    if lease.folder:
        return replace(lease, host_key_by="this computer"), ""
    if isinstance(provider, BootLog) and provider.capabilities.has_boot_log:
        try:
            keys = host_keys_in(provider.boot_log(machine.id))
        except ProviderError:
            keys = []
        ours = next((key for key in keys if key.line.startswith("ssh-ed25519 ")), None)
        if ours is not None:
            return replace(lease, host_key=ours.line, host_key_by="boot log"), ""
        key = f"{lease.key} boot log"
        tries = int(world.first_saw.get(key, 0.0)) + 1
        world.first_saw[key] = float(tries)
        if tries < _BOOT_LOG_TRIES:
            return lease, "its boot log does not show the host key yet"
    return replace(lease, host_key_by="first use"), ""


def _missing(run: Run, world: World, lease: Lease) -> Step:
    """Not in the list: only its id tells whether it is gone or the list lags."""
    assert lease.machine_id is not None
    provider = world.accounts.provider(lease.provider)
    try:
        provider.get_machine(lease.machine_id)
    except MachineNotFound:
        waited_s = world.awake_since_first_saw_s(f"{lease.key} lost")
        if waited_s < provider.capabilities.list_lag_s:
            return Wait(2.0, "the provider does not know the machine yet")
        return abandon(run, world, lease, "the machine vanished while it booted")
    return Wait(2.0, "the machine is not listed yet")


def _keep_boot_log(run: Run, world: World, lease: Lease) -> Run:
    """The run with the last words of a machine that did not boot, for the person."""
    provider = world.accounts.provider(lease.provider)
    if not isinstance(provider, BootLog) or lease.machine_id is None:
        return run
    try:
        text = provider.boot_log(lease.machine_id)
    except ProviderError:
        return run
    path = world.cargo.folder(run) / f"boot-{lease.machine_id}.log"
    try:
        path.write_text(text[-200_000:])
    except OSError:
        return run
    return run.note(f"its boot log is kept: {path}")
