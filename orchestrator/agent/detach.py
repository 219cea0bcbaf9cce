"""The lock that makes an agent the only one of its folder, and its way out of the login session.

Where a connection breaks in the start command, nobody knows whether it worked, and it is sent
again. So every later start gets the first one's pid, and a folder never two agents.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from . import protocol

_LOCK_TRIES = 10
_LOCK_PAUSE_S = 0.05


class AlreadyStarted(Exception):
    """This folder has had its agent; `pid` is its process, 0 when that is not known."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"this job was started before, by process {pid}")
        self.pid = pid


def take_lock(work: Path, *, after_another: bool = False) -> int:
    """The open lock. It is held for as long as the agent lives.

    The folder never gets another agent, unless it is to follow one that died.
    Raises: AlreadyStarted.
    """
    descriptor = os.open(
        str(work / protocol.PID_FILE), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
    )
    try:
        _lock(descriptor)
        pid = _read_pid(descriptor)
    except OSError as error:
        pid = _read_pid(descriptor)
        os.close(descriptor)
        raise AlreadyStarted(pid) from error
    if bool(pid) is not after_another:
        os.close(descriptor)
        raise AlreadyStarted(pid)
    return descriptor


def _lock(descriptor: int) -> None:
    """Raises: OSError when another has it; whoever only looks has it for a moment."""
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_PAUSE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def agent_process(work: Path) -> tuple[int, bool]:
    """Pid of the folder's agent (0: it never had one) and whether it lives."""
    try:
        descriptor = os.open(str(work / protocol.PID_FILE), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return 0, False
    try:
        pid = _read_pid(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return pid, True
    finally:
        os.close(descriptor)
    return pid, False


def detach(work: Path, lock: int) -> int | None:
    """Fork twice into a session of its own. Its pid for the caller, None for the daemon itself.

    The daemon keeps nothing of the caller's but the lock: all three standard descriptors are
    redirected, or an SSH session that started it would never end.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as answer:
            said = answer.read().decode()
        return int(said or 0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    _redirect(work)
    _close_others({lock, writer})
    pid = str(os.getpid()).encode()
    os.pwrite(lock, pid, 0)  # over an earlier one's: no new block, where the disk is full
    os.ftruncate(lock, len(pid))
    os.fsync(lock)
    os.write(writer, pid)
    os.close(writer)
    return None


def _redirect(work: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = nothing
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        errors = os.open(str(work / protocol.STDERR_FILE), flags, 0o600)
    for source, target in ((nothing, 0), (nothing, 1), (errors, 2)):
        os.dup2(source, target)


def _close_others(kept: set[int]) -> None:
    for descriptor in range(3, 1024):
        if descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _read_pid(descriptor: int) -> int:
    try:
        return int(os.pread(descriptor, 32, 0) or b"0")
    except ValueError:
        return 0
