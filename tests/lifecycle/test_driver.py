from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock, SystemClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver import Driver, count_on, driver_lives, driver_lock
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.keys import Keys
from orchestrator.lifecycle.talking import Answer, ask_to_leave, socket_path, tell_driver
from orchestrator.lifecycle.world import Again, World
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud, machine, world_of
from tests.runs.samples import NOW_S, RUN_ID, lease, run

HOLD = """
import sys
from pathlib import Path
from orchestrator.lifecycle.driver import driver_lock
with driver_lock(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def keys() -> Keys:
    return Keys(lambda _: None)


@pytest.fixture
def driver(journal: Journal, short_home: Path, keys: Keys) -> Driver:
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud([machine(label="label-0")]), clock))
    return Driver(journal, engine, clock, short_home, keys)


def wait_for(path: Path) -> None:
    never = threading.Event()
    for _ in range(500):
        if path.exists():
            return
        never.wait(0.01)
    raise AssertionError(f"{path} does not appear")


def test_one_process_at_a_time_holds_the_lock(short_home: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(short_home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with driver_lock(short_home) as mine:
        assert not mine
    assert driver_lives(short_home)

    holder.communicate("", timeout=10)

    assert not driver_lives(short_home)


def test_a_driver_takes_keys_over_a_private_socket_and_ends_the_open_runs(
    driver: Driver, short_home: Path, keys: Keys, journal: Journal
) -> None:
    back = lease("label-0", state=LeaseState.RETURNING, account="", machine_id="m1", sent_s=NOW_S)
    made = run(state=State.RETURNING, outcome=Outcome.CANCELLED, leases=(back,))
    journal.add(made, [], lambda _: None, 0.0)
    path = socket_path(short_home)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(driver.serve)
        wait_for(path)
        mode = path.stat().st_mode & 0o777
        told = any(tell_driver(short_home, keys={"K": "v"}, nudge=RUN_ID) for _ in range(100))

        served.result(timeout=20)

    assert told and mode == 0o600
    assert keys.all() == {"K": ["v"]}
    assert journal.run(RUN_ID).state is State.ENDED
    assert not path.exists() and not driver_lives(short_home)


def test_a_driver_stays_while_an_abandoned_label_is_watched(
    journal: Journal, short_home: Path
) -> None:
    looks = [Again(60.0, stays=True), Again(60.0, stays=True), Again(60.0, stays=False)]
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud(), clock))
    driver = Driver(
        journal, engine, clock, short_home, Keys(lambda _: None), [lambda: looks.pop(0)]
    )

    driver.serve()

    assert looks == []
    assert clock.now_s() >= NOW_S + 120


def test_a_chore_that_fails_neither_ends_a_driver_nor_keeps_it(
    journal: Journal, short_home: Path
) -> None:
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud(), clock))

    def fail() -> Again:
        raise ValueError("our fault")

    Driver(journal, engine, clock, short_home, Keys(lambda _: None), [fail]).serve()

    assert clock.now_s() < NOW_S + 60


def test_chores_are_done_once_more_when_the_last_run_is_over(
    journal: Journal, short_home: Path
) -> None:
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud([machine(label="label-0")]), clock))
    back = lease("label-0", state=LeaseState.RETURNING, account="", machine_id="m1", sent_s=NOW_S)
    made = run(state=State.RETURNING, outcome=Outcome.CANCELLED, leases=(back,))
    journal.add(made, [], lambda _: None, 0.0)
    seen: list[State] = []

    def look() -> Again:
        seen.append(journal.run(RUN_ID).state)
        return Again(1e9, stays=False)

    Driver(journal, engine, clock, short_home, Keys(lambda _: None), [look]).serve()

    assert seen[-1] is State.ENDED


class SlowEngine(Engine):
    """A step of it lasts until it is let go."""

    def __init__(self, journal: Journal, world: World) -> None:
        super().__init__(journal, world)
        self.begun = threading.Event()
        self.go = threading.Event()
        self.steps = 0
        self.beside: list[str] = []

    def drive_beside(self, run_id: str) -> None:
        self.beside.append(run_id)

    def drive(self, run_id: str) -> float | None:
        self.steps += 1
        self.begun.set()
        assert self.go.wait(20)
        return 60.0


@pytest.fixture
def slow(journal: Journal) -> SlowEngine:
    journal.add(run(), [], lambda _: None, 0.0)
    return SlowEngine(journal, world_of(SmallCloud(), FakeClock(NOW_S)))


@contextmanager
def serving(
    journal: Journal, engine: Engine, short_home: Path, keys: Keys
) -> Iterator[Future[None]]:
    """A driver of version 1.0 at work, on a real clock."""
    driver = Driver(journal, engine, SystemClock(), short_home, keys, version="1.0")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(driver.serve)


def test_a_driver_leaves_between_two_effects_and_gives_its_keys_to_the_successor(
    journal: Journal, slow: SlowEngine, short_home: Path, keys: Keys
) -> None:
    keys.take({"K": "v"})
    keys.take({"K": "w"})
    with ThreadPoolExecutor(1) as asking, serving(journal, slow, short_home, keys) as served:
        wait_for(socket_path(short_home))
        assert tell_driver(short_home, keys={}) == Answer("1.0")
        assert slow.begun.wait(10)
        word = asking.submit(ask_to_leave, short_home, "2.0", 30.0)
        wait_until(lambda: leaves(short_home))
        assert ask_to_leave(short_home, "2.0", 5.0) is None, "there is one successor at a time"
        assert not word.done() and not served.done()

        slow.go.set()

        assert word.result(20) == Answer("1.0", leaves=True, keys={"K": ["v", "w"]})
        served.result(20)
    assert slow.steps == 1


def test_a_driver_goes_on_when_its_successor_dies_before_it_left(
    journal: Journal, slow: SlowEngine, short_home: Path, keys: Keys
) -> None:
    with serving(journal, slow, short_home, keys) as served:
        wait_for(socket_path(short_home))
        tell_driver(short_home, keys={})
        assert slow.begun.wait(10)
        assert ask_to_leave(short_home, "2.0", 0.2) is None  # it lost its patience and hung up
        wait_until(lambda: not leaves(short_home))

        slow.go.set()

        assert tell_driver(short_home, keys={}, nudge=RUN_ID) == Answer("1.0")
        wait_until(lambda: slow.steps >= 2)
        assert not served.done()
        assert ask_to_leave(short_home, "2.0", 20.0) is not None
        served.result(20)


def test_a_step_that_takes_long_keeps_nobody_from_looking_after_its_run(
    journal: Journal, slow: SlowEngine, short_home: Path, keys: Keys
) -> None:
    driver = Driver(journal, slow, FakeClock(NOW_S), short_home, keys)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(driver.serve)
        wait_until(lambda: len(slow.beside) > 1)
        slow.go.set()

        assert ask_to_leave(short_home, "2.0", 20.0) is not None
        served.result(20)

    assert set(slow.beside) == {RUN_ID}


class CrowdedJournal(Journal):
    """Four hundred runs, all of them open for a minute."""

    ids = tuple(f"r{number:07d}" for number in range(400))
    clock: FakeClock

    def open_ids(self) -> list[str]:
        return list(self.ids) if self.clock.now_s() < NOW_S + 60.0 else []


class CountingEngine(Engine):
    """Of a run that trains, each look asks for the next one half a second later."""

    looks: Counter[str]

    def drive(self, run_id: str) -> float | None:
        self.looks[run_id] += 1
        return 0.5


def test_of_many_runs_each_is_looked_at_less_often_and_none_is_forgotten(
    short_home: Path, keys: Keys
) -> None:
    journal = CrowdedJournal(f"sqlite:///{short_home / 'crowd.db'}")
    journal.clock = FakeClock(NOW_S)
    engine = CountingEngine(journal, world_of(SmallCloud(), journal.clock))
    engine.looks = Counter()

    Driver(journal, engine, journal.clock, short_home, keys).serve()

    assert engine.looks.keys() == set(journal.ids)
    assert max(engine.looks.values()) <= 60.0 / 2.0 + 1
    journal.close()


def leaves(home: Path) -> bool:
    answer = tell_driver(home, keys={})
    assert answer is not None
    return answer.leaves


def wait_until(is_so: Callable[[], bool]) -> None:
    never = threading.Event()
    for _ in range(1000):
        if is_so():
            return
        never.wait(0.01)
    raise AssertionError("it never came to be")


def returning() -> Run:
    back = lease("label-0", state=LeaseState.RETURNING, account="", machine_id="m1", sent_s=NOW_S)
    return run(state=State.RETURNING, outcome=Outcome.CANCELLED, leases=(back,))


class LateJournal(Journal):
    """A run is submitted in the moment in which the driver has decided to end."""

    def __init__(self, url: str, socket: Path) -> None:
        super().__init__(url)
        self._socket = socket
        self._was_there = False

    def open_ids(self) -> list[str]:
        self._was_there = self._was_there or self._socket.exists()
        if self._was_there and not self._socket.exists() and not self.find_ids(RUN_ID):
            self.add(returning(), [], lambda _: None, 0.0)
        return super().open_ids()


def test_a_run_that_comes_in_a_drivers_last_moment_is_driven(short_home: Path) -> None:
    journal = LateJournal(f"sqlite:///{short_home / 'late.db'}", socket_path(short_home))
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud([machine(label="label-0")]), clock))

    Driver(journal, engine, clock, short_home, Keys(lambda _: None)).serve()

    assert journal.run(RUN_ID).state is State.ENDED
    journal.close()


class FlakyJournal(Journal):
    """A store that cannot be read now and then."""

    looks = 0

    def open_ids(self) -> list[str]:
        self.looks += 1
        if self.looks % 2 == 0:
            raise HomeError("the store cannot be read: disk I/O error")
        return super().open_ids()


def test_a_store_that_cannot_be_read_for_a_moment_ends_no_driver(short_home: Path) -> None:
    journal = FlakyJournal(f"sqlite:///{short_home / 'flaky.db'}")
    journal.add(returning(), [], lambda _: None, 0.0)
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud([machine(label="label-0")]), clock))

    Driver(journal, engine, clock, short_home, Keys(lambda _: None)).serve()

    assert journal.run(RUN_ID).state is State.ENDED
    journal.close()


def test_a_driver_counts_on_for_open_runs_from_what_the_one_before_it_knew(
    journal: Journal,
) -> None:
    journal.add(run(state=State.RUNNING, state_since_s=NOW_S), [], lambda _: None, 0.0)
    boot_s = NOW_S - 1000.0
    first = SystemClock(wall_s=lambda: boot_s + 1100.0, since_boot_s=lambda: 1100.0)
    journal.set_meta("driver", json.dumps(count_on(journal, first)))
    set_back = SystemClock(wall_s=lambda: boot_s - 2400.0, since_boot_s=lambda: 1200.0)

    count_on(journal, set_back)

    assert set_back.now_s() == boot_s + 1200.0


def test_a_driver_without_open_runs_reads_the_clock_as_it_stands(journal: Journal) -> None:
    ahead = SystemClock(wall_s=lambda: NOW_S + 7200.0, since_boot_s=lambda: 1100.0)
    journal.set_meta("driver", json.dumps(count_on(journal, ahead)))
    put_right = SystemClock(wall_s=lambda: NOW_S, since_boot_s=lambda: 1100.0)

    count_on(journal, put_right)

    assert put_right.now_s() == NOW_S
