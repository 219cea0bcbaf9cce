from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver import (
    Driver,
    driver_lives,
    driver_lock,
    socket_path,
    tell_driver,
)
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.world import Again
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
def folder() -> Iterator[Path]:
    """A home with a short path: a socket's may not be long."""
    with tempfile.TemporaryDirectory(prefix="gl-") as made:
        yield Path(made)


@pytest.fixture
def taken() -> dict[str, str]:
    return {}


@pytest.fixture
def driver(journal: Journal, folder: Path, taken: dict[str, str]) -> Driver:
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud([machine(label="label-0")]), clock))
    return Driver(journal, engine, clock, folder, taken.update)


def wait_for(path: Path) -> None:
    never = threading.Event()
    for _ in range(500):
        if path.exists():
            return
        never.wait(0.01)
    raise AssertionError(f"{path} does not appear")


def test_one_process_at_a_time_holds_the_lock(folder: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with driver_lock(folder) as mine:
        assert not mine
    assert driver_lives(folder)

    holder.communicate("", timeout=10)

    assert not driver_lives(folder)


def test_a_second_driver_of_a_home_ends_at_once(driver: Driver, folder: Path) -> None:
    with driver_lock(folder) as mine:
        assert mine
        assert not driver.serve()


def test_a_driver_takes_keys_over_a_private_socket_and_ends_the_open_runs(
    driver: Driver, folder: Path, taken: dict[str, str], journal: Journal
) -> None:
    back = lease("label-0", state=LeaseState.RETURNING, account="", machine_id="m1", sent_s=NOW_S)
    made = run(state=State.RETURNING, outcome=Outcome.CANCELLED, leases=(back,))
    journal.add(made, [], lambda _: None, 0.0)
    path = socket_path(folder)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(driver.serve)
        wait_for(path)
        mode = path.stat().st_mode & 0o777
        told = any(tell_driver(folder, keys={"K": "v"}, nudge=RUN_ID) for _ in range(100))

        assert served.result(timeout=20)

    assert told and mode == 0o600
    assert taken == {"K": "v"}
    assert journal.run(RUN_ID).state is State.ENDED
    assert not path.exists() and not driver_lives(folder)


def test_nobody_is_told_without_a_driver(folder: Path) -> None:
    assert not tell_driver(folder, keys={})


def test_a_socket_that_a_dead_driver_left_tells_nobody(folder: Path) -> None:
    socket_path(folder).touch()

    assert not tell_driver(folder, keys={})


def test_a_long_home_has_its_socket_in_a_short_private_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    home = folder / ("long" * 40)

    path = socket_path(home)

    assert len(str(path)) < 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path == socket_path(home) != socket_path(home / "other")


def test_a_short_folder_that_others_can_read_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    home = folder / ("long" * 40)
    socket_path(home).parent.chmod(0o755)

    with pytest.raises(HomeError, match="belongs to somebody else"):
        socket_path(home)


def test_a_driver_stays_while_an_abandoned_label_is_watched(journal: Journal, folder: Path) -> None:
    looks = [Again(60.0, stays=True), Again(60.0, stays=True), Again(60.0, stays=False)]
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud(), clock))
    driver = Driver(journal, engine, clock, folder, lambda _: None, [lambda: looks.pop(0)])

    assert driver.serve()

    assert looks == []
    assert clock.now_s() >= NOW_S + 120


def test_a_chore_that_fails_neither_ends_a_driver_nor_keeps_it(
    journal: Journal, folder: Path
) -> None:
    clock = FakeClock(NOW_S)
    engine = Engine(journal, world_of(SmallCloud(), clock))

    def fail() -> Again:
        raise ValueError("our fault")

    assert Driver(journal, engine, clock, folder, lambda _: None, [fail]).serve()


def test_chores_are_done_once_more_when_the_last_run_is_over(
    journal: Journal, folder: Path
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

    Driver(journal, engine, clock, folder, lambda _: None, [look]).serve()

    assert seen[-1] is State.ENDED
