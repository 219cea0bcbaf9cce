from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock, SystemClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver import Driver, driver_lives, driver_lock
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.handover import driver_of_home, store_without_driver
from orchestrator.lifecycle.keys import Keys
from orchestrator.lifecycle.talking import Line
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud, world_of
from tests.runs.samples import NOW_S


class Successor:
    """What a process that begins to drive does, up to the point where it would serve."""

    def __init__(self, home: Path, version: str) -> None:
        self._home = home
        self._version = version
        self.prepared: list[bool] = []  # whether a driver lived at that moment
        self.keys: dict[str, str] = {}

    def begins(self) -> bool:
        with driver_of_home(
            self._home,
            SystemClock(),
            self._version,
            take_keys=self.keys.update,
            prepare=self._prepare,
        ) as mine:
            return mine

    def _prepare(self) -> None:
        self.prepared.append(driver_lives(self._home))


def old_driver(journal: Journal, home: Path) -> Driver:
    keys = Keys(lambda _: None)
    keys.take({"K": "v"})
    engine = Engine(journal, world_of(SmallCloud(), FakeClock(NOW_S)))
    return Driver(journal, engine, SystemClock(), home, keys, version="1.0", stays=True)


def serve(driver: Driver, home: Path, ready: threading.Event) -> None:
    with driver_lock(home) as mine:
        assert mine
        ready.set()
        driver.serve()


def test_without_a_driver_the_home_is_taken_at_once(short_home: Path) -> None:
    assert Successor(short_home, "1.0").begins()


def test_a_newer_driver_takes_the_home_and_the_keys_of_an_older_one(
    journal: Journal, short_home: Path
) -> None:
    ready = threading.Event()
    successor = Successor(short_home, "1.1")
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve, old_driver(journal, short_home), short_home, ready)
        assert ready.wait(10)

        assert successor.begins()

        served.result(20)
    assert successor.prepared == [True], "the old one lived until everything was ready"
    assert successor.keys == {"K": "v"}


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_a_driver_that_is_not_older_is_left_alone(short_home: Path, version: str) -> None:
    successor = Successor(short_home, version)
    with driver_lock(short_home), Line(short_home, "1.0", lambda _: None).open():
        assert not successor.begins()

    assert successor.prepared == []


def test_a_successor_that_cannot_prepare_leaves_the_old_driver_alone(short_home: Path) -> None:
    def fail() -> None:
        raise HomeError("the store cannot be migrated")

    line = Line(short_home, "1.0", lambda _: None)
    with driver_lock(short_home), line.open():
        taking = driver_of_home(
            short_home, SystemClock(), "2.0", take_keys=lambda _: None, prepare=fail
        )
        with pytest.raises(HomeError), taking:
            pass
        assert not line.has_successor()


def test_a_store_is_migrated_at_once_where_no_driver_lives(short_home: Path) -> None:
    starts: list[int] = []

    with store_without_driver(short_home, FakeClock(), lambda: starts.append(1), lambda: False):
        assert driver_lives(short_home), "nobody can begin to drive meanwhile"

    assert starts == []


def test_with_a_living_driver_a_successor_is_started_and_waited_for(short_home: Path) -> None:
    starts: list[int] = []

    with driver_lock(short_home):
        moment = store_without_driver(
            short_home, FakeClock(), lambda: starts.append(1), lambda: bool(starts)
        )
        with moment:
            pass

    assert starts == [1]


def test_whoever_dies_while_it_takes_over_leaves_the_home_to_the_next(short_home: Path) -> None:
    with ExitStack() as dies:
        dies.enter_context(
            store_without_driver(short_home, FakeClock(), lambda: None, lambda: False)
        )

    assert Successor(short_home, "1.0").begins()


def test_a_driver_that_does_not_make_room_is_said_and_nothing_is_changed(
    short_home: Path,
) -> None:
    with driver_lock(short_home):
        moment = store_without_driver(short_home, FakeClock(), lambda: None, lambda: False)
        with pytest.raises(HomeError, match="still busy: nothing was changed"), moment:
            pass
