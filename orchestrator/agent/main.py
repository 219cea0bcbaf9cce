"""The agent's commands, each run in the machine's work folder.

Each brings in what it needs by itself: a zip file keeps no compiled code, so every import of a
short command is waited for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Callable, Sequence

from . import protocol
from .detach import AlreadyStarted, agent_process, detach, take_lock
from .records import Record, write_record

_USAGE = 64
_REFUSED = 3
_BAD_RUN_FILE = 2
_MOST_RESUMED = 8
_KILL_ROUNDS = 200
_KILL_PAUSE_S = 0.02


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    command = _COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        names = ", ".join(_COMMANDS)
        sys.stderr.write(f"usage: agent.pyz COMMAND, one of {names}\n")
        return _USAGE
    os.umask(0o077)
    return command(Path.cwd(), arguments[1:])


def start(work: Path, _: Sequence[str]) -> int:
    """Detach the daemon and say so."""
    return _launch(work, "perform")


def conclude(work: Path, _: Sequence[str]) -> int:
    """The same for one that only gives back what an agent that died has left."""
    return _launch(work, "conclude")


def resume(work: Path, _: Sequence[str]) -> int:
    """The same for one that goes on with the job of an agent that died, as with its computer."""
    return _launch(work, "resume")


def _launch(work: Path, task: str) -> int:
    from .daemon import Daemon
    from .environment import machine_environment
    from .here import join_tails
    from .runfile import BadRunFile, parse_run_file

    try:
        run = parse_run_file((work / protocol.RUN_FILE).read_bytes())
    except (OSError, BadRunFile) as error:
        return _refuse(_BAD_RUN_FILE, f"{protocol.RUN_FILE}: {error}")
    try:
        lock = take_lock(work, after_another=task != "perform")
        if task == "conclude":
            _only_once(work, lock)
        if task == "resume":
            _not_for_ever(work, lock)
    except AlreadyStarted as error:
        if agent_process(work)[1]:  # the answer to the first start was lost
            _answer({"started": True, "pid": error.pid, "again": True})
            return 0
        return _refuse(_REFUSED, str(error), pid=error.pid)
    if task == "perform":
        join_tails(work)
    pid = detach(work, lock)
    if pid is not None:
        _answer({"started": pid > 0, "pid": pid})
        return 0 if pid else 1
    if task == "conclude":
        with contextlib.suppress(OSError):  # from here on it lives
            (work / protocol.CONCLUDED_FILE).touch(mode=0o600)
    try:
        Daemon(work, run, machine_environment(work, os.environ), task).live()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _only_once(work: Path, lock: int) -> None:
    """Raises AlreadyStarted when an agent has followed one that died before: it died too."""
    if (work / protocol.CONCLUDED_FILE).exists():
        os.close(lock)
        raise AlreadyStarted(agent_process(work)[0])


def _not_for_ever(work: Path, lock: int) -> None:
    """Make room for a further life of the job. Raises AlreadyStarted after too many of them."""
    path = work / protocol.RESUMED_FILE
    times = 0
    with contextlib.suppress(OSError, ValueError):
        times = int(path.read_text())
    if times >= _MOST_RESUMED:
        os.close(lock)
        raise AlreadyStarted(agent_process(work)[0])
    path.write_text(str(times + 1))
    for name in (protocol.EXIT_FILE, protocol.MANIFEST_FILE, protocol.STOP_FILE):
        with contextlib.suppress(FileNotFoundError):
            (work / name).unlink()


def stop(work: Path, arguments: Sequence[str]) -> int:
    """Write the stop file; where the disk takes none, the agent hears of it by a signal."""
    record: Record = {"reason": arguments[1] if len(arguments) > 1 else "stopped by hand"}
    if arguments:
        record["grace_s"] = float(arguments[0])
    try:
        write_record(work / protocol.STOP_FILE, record)
    except OSError:
        pid, alive = agent_process(work)
        if not alive:
            return 1
        os.kill(pid, signal.SIGTERM)
    return 0


def kill(work: Path, _: Sequence[str]) -> int:
    """End the agent and all that came of it. The folder stays."""
    return _kill(work, set())


def _kill(work: Path, spared: set[int]) -> int:
    from .processes import living_descendants

    pid, alive = agent_process(work)
    if not alive:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # or it would go on to the next step
        for _round in range(_KILL_ROUNDS):
            descendants = living_descendants(pid, spared)
            for descendant in descendants:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(descendant, signal.SIGKILL)
            if not descendants:
                break
            time.sleep(_KILL_PAUSE_S)
        os.kill(pid, signal.SIGKILL)
    for _round in range(_KILL_ROUNDS):
        if not agent_process(work)[1]:
            return 0
        time.sleep(_KILL_PAUSE_S)
    return 1


def send(work: Path, _: Sequence[str]) -> int:
    """Serve files until stdin ends."""
    from .send import serve

    with contextlib.suppress(BrokenPipeError):
        serve(work, sys.stdin.buffer, sys.stdout.buffer)
    return 0


def clear(work: Path, arguments: Sequence[str]) -> int:
    """Make room for another run's job."""
    from .clear import NotOver, begin, finish
    from .environment import machine_environment
    from .guard import guard_record

    if len(arguments) != 1:
        return _USAGE
    try:
        if begin(work, arguments[0]):
            pid = guard_record(work).get("pid")
            if _kill(work, {pid} if isinstance(pid, int) else set()):
                return 1
            finish(work, machine_environment(work, os.environ))
    except NotOver as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    return 0


def here(work: Path, arguments: Sequence[str]) -> int:
    """List what is here of the driver's files."""
    from .here import list_here

    list_here(work, arguments, sys.stdout.buffer)
    return 0


def drop_files(work: Path, _: Sequence[str]) -> int:
    """Remove what the driver names."""
    from .here import drop

    drop(work, sys.stdin.buffer)
    return 0


def guard_status(work: Path, _: Sequence[str]) -> int:
    """Say what is known of the boot guard and of the agent."""
    from .guard import guard_lives, guard_record

    record = guard_record(work)
    pid, alive = agent_process(work)
    _answer(
        {
            "armed": guard_lives(work),
            "credential": record.get("credential") is True,
            "reachable": record.get("reachable") is True,
            "label": record.get("label"),
            "boots": record.get("boots"),
            "agent_pid": pid or None,
            "agent_alive": alive,
            "deadline": _deadline(work),
        }
    )
    return 0


def _deadline(work: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        return float((work / protocol.DEADLINE_FILE).read_text())
    return None


def _refuse(code: int, error: str, **fields: object) -> int:
    _answer({"started": False, "error": error, **fields})
    sys.stderr.write(f"{error}\n")
    return code


def _answer(record: Record) -> None:
    sys.stdout.buffer.write(protocol.encode(record))
    sys.stdout.flush()


_COMMANDS: dict[str, Callable[[Path, Sequence[str]], int]] = {
    "start": start,
    "conclude": conclude,
    "resume": resume,
    "stop": stop,
    "kill": kill,
    "send": send,
    "clear": clear,
    "here": here,
    "drop": drop_files,
    "guard-status": guard_status,
}
