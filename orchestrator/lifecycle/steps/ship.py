"""SHIPPING: probe the machine, prove its guard, send everything, start the agent."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace

from orchestrator.agent.protocol import AGENT, CLEARED_FILE, DEADLINE_FILE, EVENTS_FILE, GUARD_FILE
from orchestrator.errors import BucketRefused, RemoteError, SpecError, Unreachable
from orchestrator.lifecycle.deadlines import LONGEST_S, SHELL_RETRY_S
from orchestrator.lifecycle.leasing import abandon, abandon_unbooted, cancelled, finish, to_failure
from orchestrator.lifecycle.steps.over import UNKNOWN, end_unshipped
from orchestrator.lifecycle.steps.verdict import out_of_time
from orchestrator.lifecycle.steps.watch import as_left, has_vanished, where_it_is
from orchestrator.lifecycle.uploads import has_begun, send_slots
from orchestrator.lifecycle.world import Interrupted, Moved, Step, Wait, World
from orchestrator.providers.base import GuardWay
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome, State, Wish

_LIST_GPUS = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader"
# Whether CUDA really starts, or is only advertised: asked where the job may run on the CPU.
_START_CUDA = """python3 - <<'PY'
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
    count, context = ctypes.c_int(0), ctypes.c_void_p()
    steps = [cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count))]
    steps.append(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0))
    sys.exit(0 if not any(steps) and count.value else 1)
except (OSError, AttributeError):
    sys.exit(1)
PY"""
# The same before anything is sent to what was rented for its GPU; it prints the driver's CUDA. A
# context is not made: what fails there (802, system not ready) fails in cuInit. It needs no torch.
_ASK_CUDA = """python3 - <<'PY'
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    for code in (cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count))):
        if code:
            sys.exit(f"CUDA answers with error {code}")
    cuda.cuDriverGetVersion(ctypes.byref(version))
    print(count.value, f"{version.value // 1000}.{version.value % 1000 // 10}")
except (OSError, AttributeError) as error:
    print(f"CUDA cannot be loaded: {error}", file=sys.stderr)
    sys.exit(2)
PY"""
_NOBODY_ASKED = (2, 127)  # the image has no way to the driver's library, or no python3
_CUDA_LOOK_S = 45.0

_GUARD_S = 60.0  # first login → its guard has reached the provider; one try may take 20 s
_GUARD_LOOK_S = 0.5
_CLEAR_S = 120.0
_LATE = "shipping took too long"
_SLICE_S = 120.0  # of an upload, while another machine of the run is on its way back
_BUFFERED_PIECES = 16  # of an upload may be taken by a connection that is dead


class _Unfit(Exception):
    """This machine cannot do the job; another might. `is_hosts`: it is not what was sold."""

    def __init__(self, why: str, *, is_hosts: bool = False) -> None:
        super().__init__(why)
        self.is_hosts = is_hosts


class _NotYet(Exception):
    """Nobody can tell yet whether this machine can do the job; look again after `seconds`."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


def ship(run: Run, world: World) -> Step:
    """Everything from the first login to the started agent; safe to repeat from the start."""
    lease = run.lease
    assert lease is not None
    if over := end_unshipped(run, world):
        return over
    try:
        shell = world.shell(run, lease)
        is_clear = _is_clear(run, lease, shell)
        if is_clear and shell.read(EVENTS_FILE, 0, 1):
            return _started(run, world, lease)
        if run.wish is not Wish.GO_ON:
            return cancelled(run, world)
        if world.clock.now_s() > lease.stop_s:
            return _out_of_time(run, world, lease)
        if _is_late(lease, world):
            return abandon(run, world, lease, _LATE)
        if not is_clear:
            _clear(run, shell)
        guard = _prove_guard(run, world, lease, shell)
        device = _probe(run, world, lease, shell)
        lease = replace(lease, guard=guard)
        run = replace(run.with_lease(lease), device=device)
        if lease.taken_from:
            _give_time(lease, shell)
        if bucket := world.bucket(run, lease):  # first, because it may be refused
            send_slots(run, lease, shell, bucket, world.clock.now_s())
        world.cargo.ship(run, lease, shell, _while_it_moves(run, lease, world))
        reply = shell.run(f"python3 {AGENT} start", timeout_s=60.0)
    except _Unfit as error:
        give_back = abandon_unbooted if error.is_hosts else abandon
        return give_back(run, world, lease, str(error))
    except _NotYet as error:
        return Wait(error.seconds, str(error))
    except Interrupted:
        return Wait(0.0, "the wish changed, or its time is over")
    except SpecError as error:
        failure = Failure(error.code, error.problem, error.hint, error.exit_code)
        return finish(run, world, Outcome.REFUSED, failure, error.problem)
    except BucketRefused as error:
        return finish(run, world, Outcome.REFUSED, to_failure(error), error.problem)
    except OSError as error:
        failure = Failure("home", f"the job's files cannot be read: {error}", exit_code=2)
        return finish(run, world, Outcome.REFUSED, failure, failure.problem)
    except Unreachable as error:
        world.drop_shell(lease)
        return _out_of_reach(run, world, lease, error)
    except RemoteError as error:
        world.drop_shell(lease)
        return abandon(run, world, lease, error.problem)
    if reply.exit_code != 0:
        words = reply.stderr.decode(errors="replace").strip()[-300:]
        return abandon(run, world, lease, f"the agent did not start: {words or reply.exit_code}")
    return _started(run, world, lease)


def _out_of_reach(run: Run, world: World, lease: Lease, error: Unreachable) -> Step:
    """What is to be done about a machine that nobody reaches now."""
    is_wanted = run.wish is Wish.GO_ON
    vanished = is_wanted and has_vanished(world, lease)
    is_over = world.clock.now_s() > lease.stop_s
    gives_up = vanished or not is_wanted or is_over or _is_late(lease, world)
    if gives_up and has_begun(run, world, lease, is_gone=vanished is True):
        return _started(run, world, lease, heard_s=run.state_since_s)
    if not is_wanted:
        return cancelled(run, world)
    if vanished is None:
        return Wait(1.0, "the provider does not know the machine; one miss is noise", run)
    if is_over and not vanished:
        return _out_of_time(replace(run, artifacts_missing=(UNKNOWN,)), world, lease)
    if gives_up:
        why = "the machine vanished before its job began" if vanished else _LATE
        return _lose(run, world, as_left(world, lease), why)
    waiting = f"the connection broke: {error.problem}"
    return Wait(SHELL_RETRY_S, waiting, run.with_lease(where_it_is(world, lease)))


def _is_clear(run: Run, lease: Lease, shell: Shell) -> bool:
    """Whether nothing of an earlier run's job is on the machine: what is there is this run's."""
    return not lease.taken_from or shell.read(CLEARED_FILE, 0, 64) == run.id.encode()


def _clear(run: Run, shell: Shell) -> None:
    """Have the job of the run before removed, all of whose results are home."""
    reply = shell.run(f"python3 {AGENT} clear {run.id}", timeout_s=_CLEAR_S)
    if reply.exit_code != 0:
        words = reply.stderr.decode(errors="replace").strip()[-300:]
        raise _Unfit(f"the kept machine cannot take another job: {words or reply.exit_code}")


def _give_time(lease: Lease, shell: Shell) -> None:
    """Let the machine live for this run's time: `clear` left it the hold of the run before.

    An upload may take longer than that, and brings the file that says so behind all the data.
    """
    shell.write(DEADLINE_FILE, f"{int(lease.deadline_s)}\n".encode())


def _is_late(lease: Lease, world: World) -> bool:
    """Whether this process has moved nothing for too long."""
    longest_s = LONGEST_S[State.SHIPPING] or 0.0
    return world.awake_since_first_saw_s(_moved_key(lease)) > longest_s


def _while_it_moves(run: Run, lease: Lease, world: World) -> Callable[[], None]:
    """What an upload asks between two pieces of about 1 MiB: it may take hours, not for ever."""
    wish_stays = world.keep_going(run)
    pieces = itertools.count()
    began_s = world.clock.awake_s()

    def go_on() -> None:
        wish_stays()
        # What is there stays there: this step may end for others, and go on with the rest.
        taken_s = world.clock.awake_s() - began_s
        if world.is_wanted_back() or (run.returning and taken_s > _SLICE_S):
            raise Interrupted
        if world.clock.now_s() > lease.stop_s:
            raise Interrupted
        if next(pieces) >= _BUFFERED_PIECES:
            world.first_saw.pop(_moved_key(lease), None)
            world.awake_since_first_saw_s(_moved_key(lease))

    return go_on


def _moved_key(lease: Lease) -> str:
    return f"{lease.key} moved"


def _out_of_time(run: Run, world: World, lease: Lease) -> Moved:
    """End a run whose time for work is over before its work began."""
    outcome, failure = out_of_time(run, lease)
    if failure is not None:
        problem = f"{failure.problem}, and its files were not all on the machine"
        hint = f"{failure.hint}; large data may lie in a bucket, a large model on a hub"
        failure = replace(failure, problem=problem, hint=hint)
    return finish(run, world, outcome, failure, "its time was over before its work began")


def _lose(run: Run, world: World, lease: Lease, why: str) -> Moved:
    """Give up a machine that nobody reaches any more; its agent may have been started."""
    moved = abandon(run, world, lease, why)
    if moved.run.outcome is None:
        return moved  # the next machine does the work anew
    return replace(moved, run=replace(moved.run, artifacts_missing=(UNKNOWN,)))


def _started(run: Run, world: World, lease: Lease, *, heard_s: float | None = None) -> Moved:
    lease = replace(lease, did_work=True)
    moved = run.with_lease(lease).move(State.SETTING_UP, world.clock.now_s())
    # What an earlier machine took with it is made anew.
    heard_s = world.clock.now_s() if heard_s is None else heard_s
    begun = replace(moved, heard_s=heard_s, artifacts_missing=(), unsettled=False)
    return Moved(begun, events=("the agent is started",))


def _probe(run: Run, world: World, lease: Lease, shell: Shell) -> str:
    """Which device the program gets; _Unfit when the GPU that was rented is not there."""
    if not lease.offer.gpu_count:  # GPUs of this computer that somebody else uses are not ours
        return "cpu"
    listed = shell.run(_LIST_GPUS, timeout_s=60.0)
    names = [line for line in listed.stdout.decode(errors="replace").splitlines() if "," in line]
    if listed.exit_code == 0 and len(names) >= max(1, lease.offer.gpu_count):
        if not run.launch.allow_cpu:
            _try_cuda(run, world, lease, shell)
            return "cuda"
        return "cuda" if shell.run(_START_CUDA, timeout_s=60.0).exit_code == 0 else "cpu"
    if run.launch.allow_cpu:
        return "cpu"
    raise _Unfit("nvidia-smi finds no working GPU on it", is_hosts=True)


def _try_cuda(run: Run, world: World, lease: Lease, shell: Shell) -> None:
    """Returns where CUDA starts and is new enough, or nobody can tell; else _NotYet or _Unfit."""
    capabilities = world.accounts.provider(lease.provider).capabilities
    patience_s = capabilities.cuda_patience_s
    if patience_s is None:
        return
    asked = shell.run(_ASK_CUDA, timeout_s=60.0)
    if asked.exit_code in _NOBODY_ASKED and capabilities.container_images:
        return  # the job's image may be why, and its program may not need it
    if asked.exit_code == 0:
        told = asked.stdout.decode(errors="replace").split()
        newest = told[1] if len(told) == 2 else ""
        if _numbers(newest) < _numbers(run.launch.cuda):
            why = f"its driver has CUDA {newest or 'of no version'}, {run.launch.cuda} is needed"
            raise _Unfit(why, is_hosts=True)
        return
    why = asked.stderr.decode(errors="replace").strip()[-200:] or "CUDA does not start"
    if world.awake_since_first_saw_s(f"{lease.key} cuda") < patience_s:
        raise _NotYet(f"its GPU is listed, but dead: {why}", _CUDA_LOOK_S)
    raise _Unfit(f"its GPU is listed, but stayed dead: {why}", is_hosts=True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _prove_guard(run: Run, world: World, lease: Lease, shell: Shell) -> str:
    """The grade of the machine's own guard; _Unfit when it is absent and must not be."""
    provider = world.accounts.provider(lease.provider)
    if not provider.capabilities.bills:
        return "not needed"
    planned = {one.guard for one in run.candidates if one.offer == lease.offer}
    if provider.capabilities.guard is GuardWay.NONE and "watched" in planned:
        return "watched"
    armed: bool | None = False
    if provider.capabilities.guard is GuardWay.START_COMMAND:
        armed = _is_armed(shell, lease)
    if armed:
        return "drilled" if "drilled" in planned else "plausible"
    if run.launch.accept_unguarded:
        return "absent"
    if armed is None and world.awake_since_first_saw_s(f"{lease.key} guard") < _GUARD_S:
        raise _NotYet("its guard has not reached the provider yet", _GUARD_LOOK_S)
    raise _Unfit("its guard is not armed, and the job does not say accept_unguarded")


def _is_armed(shell: Shell, lease: Lease) -> bool | None:
    """Whether the guard has all that it needs to end the machine; None while it may yet say so.

    It starts before sshd, and its record says that the provider answered it only once it did.
    """
    try:
        record = json.loads(shell.read(GUARD_FILE, 0, 4096) or b"{}")
    except ValueError:
        return False
    if not isinstance(record, dict):
        return False
    if record and (record.get("label") != lease.label or record.get("credential") is not True):
        return False
    return True if record.get("reachable") is True else None
