"""SETTING_UP and RUNNING: read what the agent says, keep the cap, bring checkpoints home."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.agent.protocol import EVENTS_FILE, EXIT_FILE
from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.clock import to_iso
from orchestrator.errors import (
    ArtifactsError,
    BucketDown,
    BucketRefused,
    HostKeyMismatch,
    LostCheckpoint,
    MachineNotFound,
    MissingCredentials,
    ProviderError,
    RemoteError,
)
from orchestrator.lifecycle.agents import agent_status, past_a_cut_log, up_s
from orchestrator.lifecycle.balance import heed
from orchestrator.lifecycle.boot_log import keep_boot_log
from orchestrator.lifecycle.deadlines import (
    AGENT_SILENT_S,
    LONGEST_S,
    SECOND_MISS_S,
    SHELL_RETRY_S,
)
from orchestrator.lifecycle.leasing import finish
from orchestrator.lifecycle.report import fold, to_exit
from orchestrator.lifecycle.steps.carry_on import carry_on
from orchestrator.lifecycle.steps.over import UNSEEN_S, must_end, must_end_for_s
from orchestrator.lifecycle.steps.rent import seen_taken, with_machine
from orchestrator.lifecycle.steps.resume import make_anew, resume
from orchestrator.lifecycle.steps.stop import ask_to_stop, end_the_agent, is_stubborn
from orchestrator.lifecycle.steps.verdict import RESTARTED, capped, out_of_time, verdict
from orchestrator.lifecycle.uploads import renew_slots, settle
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.providers.base import MachineStatus, Provider
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome, State, Wish

_EVENTS_BYTES = 1 << 20
_POLL_S = 0.5
_STRANGER_S = 60.0
_UNREAD_S = 30.0  # what an agent wrote may be read so long after its end
_BOOTED_S = 5.0  # nothing is restarted sooner after it was first seen
_WITHOUT_A_WORD: dict[str, object] = {
    "why": "finished",
    "message": "the agent ended without a word",
}
_SILENCE_TOLD_S = 60.0
_SILENT = "no contact with the machine"
_LOST = (MachineStatus.STOPPED, MachineStatus.FAILED)


class _Restarted(Exception):
    """The machine's computer was restarted: the agent is gone, and what it wrote is there."""


class _StartedAnew(Exception):
    """The machine's command was started again, and nothing of the job runs on it any more."""


def watch(run: Run, world: World) -> Step:
    """One look at the machine."""
    lease = run.lease
    assert lease is not None
    if over := end_watched(run, world):
        return over
    try:
        shell = reach(run, world, lease)
        after, said = fold(
            run, shell.read(EVENTS_FILE, run.event_offset, _EVENTS_BYTES), _now(world)
        )
        after, again = _after_silence(after, world, lease)
        said += again
        try:
            world.log(run).fetch_some(shell)
        except ArtifactsError as error:  # of this computer; all else goes on
            after = after.note(error.problem)
        elapsed_s = world.clock.elapsed_s()
        after, warned = heed(after, world.purse(lease), _now(world), elapsed_s)
        said += warned
        after = ask_to_stop(after, world, lease, shell)
        # What is asked of the program is kept, whatever else fails in this look.
        run = replace(run, stop_reason=after.stop_reason, stop_asked_s=after.stop_asked_s)
        if is_stubborn(after, world, lease):
            after = end_the_agent(after, world, shell)
        if goes_on := carry_on(after, world, lease, shell):
            return goes_on
        if not after.exit and _now(world) - after.heard_s > AGENT_SILENT_S:
            after = _ask_the_agent(after, world, shell)
        after = renew_slots(_pull_checkpoint(after, world, shell), world, lease, shell)
    except _StartedAnew as error:
        world.drop_shell(lease)
        return give_up_on(run, world, lease, str(error))
    except _Restarted:
        return _after_a_restart(run, world, lease)
    except RemoteError as error:
        world.drop_shell(lease)
        if isinstance(error, HostKeyMismatch):
            run = run.note(error.problem)
            if stays_a_stranger(world, lease):
                return give_up_on(run, world, lease, error.problem)
        world.awake_since_first_saw_s(_silence_key(lease))
        waiting = f"no contact: {error.problem}; the job goes on"
        return machine_lost(run, world, lease) or Wait(
            SHELL_RETRY_S, waiting, run.with_lease(where_it_is(world, lease))
        )
    if after.exit:
        moved = after.move(State.COLLECTING, _now(world), exit_seen_s=_now(world))
        return Moved(moved, events=tuple(said))
    if after.state is State.SETTING_UP and after.progress:
        return Moved(after.move(State.RUNNING, _now(world)), after_s=_POLL_S, events=tuple(said))
    longest_s = LONGEST_S[State.SETTING_UP] or 0.0
    if after.state is State.SETTING_UP and _now(world) - after.state_since_s > longest_s:
        failure = Failure("setup", "set-up took longer than an hour", f"gpulease logs {run.id}")
        return finish(after, world, Outcome.FAILED, failure, failure.problem)
    if said:
        return Moved(after, after_s=_POLL_S, events=tuple(said))
    return Wait(_POLL_S, "", after)


def end_watched(run: Run, world: World) -> Step | None:
    """The run's way to its end, where a person or the money wants it at once."""
    lease = run.lease
    assert lease is not None
    if run.wish is Wish.CANCEL_NOW:
        missing = f"everything after the last {_last(run)} (cancel --now)"
        lost = replace(run, artifacts_missing=(missing,), unsettled=bool(run.launch.bucket))
        return finish(lost, world, Outcome.CANCELLED, None, "cancelled at once")
    if why := must_end(run, lease, world):
        return lost_before_its_end(run, world, lease) or _end(run, world, lease, why)
    return None


def machine_lost(run: Run, world: World, lease: Lease) -> Step | None:
    """The run's way on, or to its end, without a machine that is no longer there.

    None while it is there, or may be.
    """
    vanished = has_vanished(world, lease)
    if vanished is None:
        return Wait(1.0, "the provider does not know the machine; one miss is noise", run)
    if not vanished:
        return None
    return give_up_on(keep_boot_log(run, world, lease), world, lease, "")


def lost_before_its_end(run: Run, world: World, lease: Lease) -> Step | None:
    """`machine_lost`, where the machine must go: nothing holds up the return of what may bill.

    What a provider cannot list it may delete all the same. A computer that just woke up gets some
    time to reach it: the machine may have ended long ago.
    """
    try:
        return machine_lost(run, world, lease)
    except (ProviderError, MissingCredentials):
        if must_end_for_s(world, lease) < UNSEEN_S:
            raise
        return None
    except (BucketDown, BucketRefused):
        if world.accounts.snapshot(lease.provider, max_age_s=60.0).by_id(lease.machine_id) is None:
            raise  # it is gone, and what it did may yet be known
        return None


def reach(run: Run, world: World, lease: Lease) -> Shell:
    """The connection to the machine itself. Raises RemoteError."""
    shell = world.shell(run, lease)
    world.first_saw.pop(_stranger_key(lease), None)
    world.first_saw.pop(_missed_key(lease), None)
    return shell


def stays_a_stranger(world: World, lease: Lease) -> bool:
    """Whether another host key has answered for so long that the machine as it was is lost.

    A container that its host started anew has a new key, and a new disk. For a while the address
    may only be another machine's: RunPod shows the old one for 30 s (facts §4.4).
    """
    return world.awake_since_first_saw_s(_stranger_key(lease)) >= _STRANGER_S


def where_it_is(world: World, lease: Lease) -> Lease:
    """The lease with the address that the provider shows now; its host key stays pinned."""
    capabilities = world.accounts.provider(lease.provider).capabilities
    found = world.accounts.snapshot(lease.provider, max_age_s=capabilities.poll_s)
    machine = found.by_id(lease.machine_id)
    return lease if machine is None else with_machine(lease, machine)


def give_up_on(run: Run, world: World, lease: Lease, why: str) -> Moved:
    """The run's way on, or to its end, without a machine that is lost with all that was on it."""
    now_s = _now(world)
    lease = as_left(world, lease)
    run, is_whole = settle(run.with_lease(lease), world, lease)
    if is_whole:
        why = "the machine ended; everything is in the bucket"
        return finish(run, world, *verdict(run), why)
    if run.exit:
        if run.artifacts and not run.artifacts_missing:  # all that it had listed: see `collect`
            return finish(run, world, *verdict(run), "the machine ended; everything is home")
        if anew := make_anew(run, world, lease):
            return anew
        missing = run.artifacts_missing or ("what was not home when the machine ended",)
        return finish(
            replace(run, artifacts_missing=missing), world, *verdict(run), "the machine ended"
        )
    run = replace(
        run, artifacts_missing=(f"everything after the last {_last(run)}: the machine is gone",)
    )
    if run.wish is Wish.CANCEL:
        return finish(run, world, Outcome.CANCELLED, None, "cancelled; the machine had ended")
    if now_s >= lease.stop_s:
        return finish(run, world, *out_of_time(run, lease), "the machine ended at its deadline")
    problem = f"the machine vanished while the job ran{f': {why}' if why else ''}"
    if moved := resume(run, world, lease):
        if moved.run.failure is None:
            return moved
        problem += f", and no other goes on: {moved.run.failure.problem}"
    failure = Failure("host_lost", problem, "submit again", 6)
    return finish(run, world, Outcome.FAILED, failure, failure.problem)


def has_vanished(world: World, lease: Lease) -> bool | None:
    """Whether the provider says that a machine stopped, failed or is gone; for when nobody answers.

    A failed one is not waited for: it does not come back by itself, and may bill. None where it
    was missed once, and one miss is noise: what works may only have been out of reach.
    """
    provider, identity = world.accounts.renter(lease.account, lease.provider)
    capabilities = provider.capabilities
    found = world.accounts.snapshot(lease.provider, max_age_s=capabilities.poll_s / 2)
    machine = found.by_id(lease.machine_id)
    if machine is not None and machine.status is MachineStatus.OUT_OF_TOUCH:
        lost_s = world.awake_since_first_saw_s(_out_of_touch_key(lease))
        return lost_s >= capabilities.out_of_touch_s
    world.first_saw.pop(_out_of_touch_key(lease), None)
    proves = world.accounts.proves_absence
    if machine is None and not proves(lease.account, identity):
        world.other_key(lease, provider)
    if machine is not None or not (
        proves(lease.account, identity)
        and proves(lease.account, found.identity)
        and _says_gone(provider, lease)
    ):
        world.first_saw.pop(_missed_key(lease), None)
        return machine is not None and machine.status in _LOST
    missed_s = world.awake_since_first_saw_s(_missed_key(lease))
    return None if capabilities.one_miss_is_noise and missed_s < SECOND_MISS_S else True


def as_left(world: World, lease: Lease) -> Lease:
    """The lease of a lost machine; of one that was bid for, with whether somebody bid more."""
    if not lease.offer.spot:
        return lease
    capabilities = world.accounts.provider(lease.provider).capabilities
    found = world.accounts.snapshot(lease.provider, max_age_s=capabilities.poll_s)
    return seen_taken(lease, found.by_id(lease.machine_id), _now(world))


def _end(run: Run, world: World, lease: Lease, why: str) -> Moved:
    """Give back a machine that lives too long, with all that is still on it."""
    missing = f"everything after the last {_last(run)}: no time was left"
    run = replace(run, artifacts_missing=(missing,), unsettled=bool(run.launch.bucket))
    if _now(world) > lease.deadline_s:
        return finish(run, world, *out_of_time(run, lease), why)
    return finish(run, world, Outcome.CAPPED, capped(run), why)


def _last(run: Run) -> str:
    return "upload" if run.launch.bucket else "pull"


def _stranger_key(lease: Lease) -> str:
    return f"{lease.key} stranger"


def _silence_key(lease: Lease) -> str:
    return f"{lease.key} without contact"


def _out_of_touch_key(lease: Lease) -> str:
    return f"{lease.key} out of touch"


def _missed_key(lease: Lease) -> str:
    return f"{lease.key} missed"


def _says_gone(provider: Provider, lease: Lease) -> bool:
    assert lease.machine_id is not None
    try:
        provider.get_machine(lease.machine_id)
    except MachineNotFound:
        return True
    return False


def _now(world: World) -> float:
    return world.clock.now_s()


def _after_silence(run: Run, world: World, lease: Lease) -> tuple[Run, list[str]]:
    """What is told of a machine that is reached again, when it was not for some time.

    Of many such times the last is noted: a bad line hides nothing else that is to be minded.
    """
    if _silence_key(lease) not in world.first_saw:
        return run, []
    silent_s = world.awake_since_first_saw_s(_silence_key(lease))
    del world.first_saw[_silence_key(lease)]
    if silent_s < _SILENCE_TOLD_S:
        return run, []
    told = f"{_SILENT} for {silent_s / 60:.0f} min until {to_iso(_now(world))}: the job went on"
    others = tuple(note for note in run.notes if not note.startswith(_SILENT))
    return replace(run, notes=others).note(told), [told]


def _ask_the_agent(run: Run, world: World, shell: Shell) -> Run:
    """A silent agent: alive, or ended without a word."""
    status = agent_status(shell)
    try:
        left = json.loads(shell.read(EXIT_FILE, 0, 65_536) or b"{}")
    except (ValueError, RecursionError):
        left = {}
    if status.get("agent_alive") is True:
        run = past_a_cut_log(replace(run, heard_s=_now(world)), shell)
        if not (isinstance(left, dict) and left):
            return run
    boots = status.get("boots")
    if not left and isinstance(boots, int) and boots > 1:
        raise _StartedAnew(f"its container was started {boots} times, and the agent is gone")
    if left:
        return _with_exit(run, world, left if isinstance(left, dict) else {})
    if _was_restarted(run, world, shell):
        raise _Restarted
    return _with_exit(run, world, _WITHOUT_A_WORD)


def _with_exit(run: Run, world: World, words: dict[str, object]) -> Run:
    record = to_exit(words or _WITHOUT_A_WORD)
    return replace(run, exit={**record, "ended_at": record.get("ended_at", _now(world))})


def _was_restarted(run: Run, world: World, shell: Shell) -> bool:
    """Whether a rented computer was started about when its agent was last heard, or later.

    A container tells its host's time, which is long: where it was started anew is told by `boots`.
    """
    lease = run.lease
    if lease is None or not lease.bills or lease.ran_s is None:
        return False
    now_s, seconds = _now(world), up_s(shell)
    at_most_s = min(now_s - run.heard_s + _UNREAD_S, now_s - lease.ran_s - _BOOTED_S)
    return seconds is not None and seconds < at_most_s


def _after_a_restart(run: Run, world: World, lease: Lease) -> Step:
    """The run's way to another machine; where there is none, what this one has comes home."""
    moved = resume(run, world, lease) if run.wish is Wish.GO_ON else None
    if moved is not None and moved.run.failure is None:
        return moved
    now_s = _now(world)
    why_not = moved.run.failure.problem if moved is not None and moved.run.failure else ""
    after = replace(run, exit={"why": RESTARTED, "message": why_not, "ended_at": now_s})
    return Moved(after.move(State.COLLECTING, now_s, exit_seen_s=now_s))


def _pull_checkpoint(run: Run, world: World, shell: Shell) -> Run:
    """Bring the newest complete checkpoint home, a few seconds at a time."""
    due = _now(world) - run.checkpoint_pulled_s >= run.launch.checkpoint_every_s * 0.5
    is_home = not run.checkpoint or run.checkpoint == run.checkpoint_home
    if run.launch.bucket or is_home or not (due or run.exit):
        return run
    store = world.home_store(run)
    try:
        arrived = store.fetch_checkpoint(
            shell, run.checkpoint, limit_bytes=result_limit(world, run)
        )
    except LostCheckpoint:
        return replace(run, checkpoint="")  # it was replaced by a newer one, which will be told of
    except ArtifactsError as error:  # of this computer: the machine still has it
        return run.note(error.problem)
    if not isinstance(arrived, Checkpoint):
        return run
    return replace(run, checkpoint_home=run.checkpoint, checkpoint_pulled_s=_now(world))


def result_limit(world: World, run: Run) -> int:
    """Most bytes that a machine can have to give; whether home has room is another question."""
    rented = run.lease is not None and run.lease.bills
    disk_bytes = run.launch.disk_gib << 30 if rented else world.home_store(run).disk_bytes()
    return 2 * disk_bytes  # files may share their content
