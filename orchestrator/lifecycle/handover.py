"""One driver after another: a newer version takes over from an older one, and loses nothing.

The successor starts first, imports all it needs, and only then asks the living driver to leave.
That one ends between two effects, or goes on as before when the successor dies meanwhile. The
store is copied and migrated by whoever holds the driver's lock, so never under a living driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver import driver_lock
from orchestrator.lifecycle.talking import ask_to_leave, tell_driver

_LEAVES_S = 1800.0  # an upload in its middle is not cut off
_LOCK_S = 30.0  # between a driver's word and its end
_SILENT_S = 10.0  # a lock without an answer: a driver that begins or ends, or a migration
_MIGRATES_S = 90.0
_LOOK_S = 0.1
_NEVER = threading.Event()


def is_older(version: str, than: str) -> bool:
    """Whether a driver of this version makes room for one of the other.

    >>> is_older("0.9.0", than="0.10.0"), is_older("1.0.0", than="1.0.0"), is_older("", than="1")
    (True, False, True)
    """
    if version == than:
        return False
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(than)
    except InvalidVersion:  # whoever does not say a version is older than those that do
        return True


@contextmanager
def driver_of_home(
    folder: Path,
    clock: Clock,
    version: str,
    *,
    take_keys: Callable[[dict[str, str]], None],
    prepare: Callable[[], None],
) -> Iterator[bool]:
    """Whether this process is the home's driver now, taking over from an older one.

    Args:
        prepare: everything that may fail, done before a living driver is asked to leave.
    """
    silent_until_s = clock.elapsed_s() + _SILENT_S
    while True:
        with driver_lock(folder) as mine:
            if mine:
                yield True
                return
        answer = tell_driver(folder, keys={})
        if answer is not None:
            break
        if clock.elapsed_s() > silent_until_s:
            yield False
            return
        clock.wait(_NEVER, _LOOK_S)
    if answer.leaves or not is_older(answer.version, than=version):
        yield False
        return
    prepare()
    word = ask_to_leave(folder, version, _LEAVES_S)
    for name, values in word.keys.items() if word is not None else ():
        for value in values:
            take_keys({name: value})
    with wait_for_lock(folder, clock, _LOCK_S if word is not None else 0.0) as mine:
        yield mine


@contextmanager
def wait_for_lock(folder: Path, clock: Clock, patience_s: float) -> Iterator[bool]:
    """The driver's lock once it is free; false when it is not in time."""
    until_s = clock.elapsed_s() + patience_s
    while True:
        with driver_lock(folder) as mine:
            if mine or clock.elapsed_s() > until_s:
                yield mine
                return
        clock.wait(_NEVER, _LOOK_S)


@contextmanager
def store_without_driver(
    folder: Path, clock: Clock, start_successor: Callable[[], None], is_done: Callable[[], bool]
) -> Iterator[None]:
    """The moment to migrate: no driver lives, or one of this version has done it.

    Raises: HomeError when a living driver does not make room; nothing has changed then.
    """
    until_s = clock.elapsed_s() + _MIGRATES_S
    started = False
    while True:
        with driver_lock(folder) as mine:
            if mine or is_done():
                yield
                return
        if not started:
            start_successor()
            started = True
        if clock.elapsed_s() > until_s:
            raise HomeError(
                "the driver of an older version is still busy: nothing was changed",
                hint=f"try again in a minute, or see {folder / 'driver.log'}",
            )
        clock.wait(_NEVER, _LOOK_S)
