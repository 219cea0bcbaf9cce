"""A newer version takes over in the middle of a training: same machine, one bill, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.schema import SCHEMA
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person, waits_until
from tests.e2e.store import BUCKET, TO_BUCKET, Store, url_of_index
from tests.e2e.versions import NEXT_SCHEMA, install

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_STEPS, _WAITS_AT = 8, 5


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(install(tmp_path_factory.mktemp("old"), "7.0.0"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(install(tmp_path_factory.mktemp("new"), "7.1.0", next_schema=True))


@pytest.fixture
def in_training(person: Person, old: str) -> dict[str, Any]:
    """The older version's run, in the middle of its training."""
    person.command = (old,)
    script = training(steps=_STEPS, saves_every=2, waits_at=_WAITS_AT)
    person.submits(own_code(person, script))
    return person.waits(lambda view: view["progress"].get("step") == _WAITS_AT)


def revision(person: Person) -> str:
    with closing(sqlite3.connect(person.home / "gpulease.sqlite")) as store:
        return str(store.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def driver_version(person: Person) -> str:
    """What the newest driver wrote into the store."""
    with closing(sqlite3.connect(person.home / "gpulease.sqlite")) as store:
        (value,) = store.execute("SELECT value FROM meta WHERE key = 'driver'").fetchone()
    return str(json.loads(value)["version"])


def the_one_driver(person: Person) -> int:
    """The driver's process, once one that makes room for it has ended."""
    never = threading.Event()
    for _ in range(200):
        if len(found := person.driver_ids()) == 1:
            return found[0]
        never.wait(0.1)
    raise AssertionError(f"drivers: {person.driver_ids()}")


def lets_it_train(cloud: Cloud, person: Person, view: dict[str, Any]) -> None:
    """The word that the training waits for, by way of its machine's own folder."""
    label = view["machines"][-1]["label"]
    command = f"touch $HOME/gpulease/{label}/code/go"
    ended = person.types("ssh", "last", stdin=f"{command}\nexit\n")
    assert ended.code == 0, ended.err


def nothing_is_lost(receipt: dict[str, Any], before: dict[str, Any]) -> None:
    assert receipt["outcome"] == "succeeded" and receipt["returned"]["proven"]
    assert [one["id"] for one in receipt["machines"]] == [one["id"] for one in before["machines"]]
    folder = Path(receipt["artifacts_dir"])
    trained = json.loads((folder / "trained.json").read_text())
    assert trained == {"steps": list(range(1, _STEPS + 1)), "lives": 1}
    log = Path(receipt["log"]).read_text().split("\n")
    assert [line for line in log if line.startswith("step")] == [
        f"step {number}" for number in range(1, _STEPS + 1)
    ]


def test_a_newer_version_takes_over_in_mid_training_and_the_older_one_refuses_its_store(
    person: Person, cloud: Cloud, in_training: dict[str, Any], old: str, new: str
) -> None:
    (old_driver,) = person.driver_ids()
    assert (revision(person), driver_version(person)) == (SCHEMA, "7.0.0")

    person.command = (new,)
    listed = person.types("ps", "--json")

    assert listed.code == 0, listed.err + person.driver_log()
    assert [run["run"] for run in listed.json()["runs"]] == [in_training["run"]]
    assert (revision(person), driver_version(person)) == (NEXT_SCHEMA, "7.1.0")
    assert the_one_driver(person) != old_driver
    copy = person.home / f"gpulease.sqlite.schema-{SCHEMA}"
    assert copy.stat().st_mode & 0o777 == 0o600

    person.command = (old,)
    refused = person.types("cancel", "last", "--json")
    assert refused.code == 2
    assert refused.json()["error"]["code"] == "home"
    assert "newer gpulease" in refused.json()["error"]["problem"]
    assert "upgrade" in refused.json()["error"]["hint"]

    person.command = (new,)
    with person.starts("attach", "last", "--json") as attached:
        lets_it_train(cloud, person, in_training)
        ended = person.ends(attached)
    assert ended.code == 0, ended.err + person.driver_log()
    receipt = person.types("receipt", "last", "--json").json()
    nothing_is_lost(receipt, in_training)
    books_agree(receipt, person, cloud)
    assert "a newer driver takes over" in person.driver_log()


def test_a_takeover_that_is_killed_at_any_moment_is_gone_on_with_by_the_next_command(
    person: Person, cloud: Cloud, in_training: dict[str, Any], new: str
) -> None:
    (old_driver,) = person.driver_ids()
    person.command = (new,)
    for after_s in (0.7, 1.4, 2.1, 2.8, 3.5):
        with person.starts("ps") as process:
            with suppress(Exception):
                process.wait(after_s)
            process.kill()
        for number in person.driver_ids():
            if number != old_driver:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

    listed = person.types("ps", "--json")

    assert listed.code == 0, listed.err + person.driver_log()
    assert (revision(person), driver_version(person)) == (NEXT_SCHEMA, "7.1.0")
    lets_it_train(cloud, person, in_training)
    ended = person.types("attach", "last")
    assert ended.code == 0, ended.err + person.driver_log()
    receipt = person.types("receipt", "last", "--json").json()
    nothing_is_lost(receipt, in_training)
    books_agree(receipt, person, cloud)


def test_a_driver_of_the_same_schema_makes_room_too_and_a_newer_one_serves_older_commands(
    person: Person,
    cloud: Cloud,
    in_training: dict[str, Any],
    old: str,
    tmp_path: Path,
) -> None:
    patched = str(install(tmp_path, "7.0.1"))
    person.command = (patched,)
    assert person.types("ps").code == 0
    assert driver_version(person) == "7.0.1"
    driver = the_one_driver(person)

    person.command = (old,)
    assert person.types("ps").code == 0
    assert person.types("show", "last", "--json").json()["state"] == "running"
    assert the_one_driver(person) == driver

    lets_it_train(cloud, person, in_training)
    assert person.types("attach", "last").code == 0
    nothing_is_lost(person.types("receipt", "last", "--json").json(), in_training)


def test_a_newer_driver_signs_new_slots_for_the_run_of_an_older_one(
    person: Person, cloud: Cloud, store: Store, old: str, new: str
) -> None:
    person.command = (old,)
    script = training(steps=_STEPS, saves_every=2, waits_at=_WAITS_AT)
    limits = {"max_duration": "9h", "max_cost": "9.00", "more": TO_BUCKET}
    run_id = person.submits(own_code(person, script, **limits))
    before = person.waits(lambda view: view["progress"].get("step") == _WAITS_AT)
    first = url_of_index(person)

    person.command = (new,)
    assert person.types("ps").code == 0
    assert driver_version(person) == "7.1.0"
    the_one_driver(person)
    cloud.advance(6.1 * 3600)
    waits_until(lambda: url_of_index(person) != first)
    second = url_of_index(person)
    lets_it_train(cloud, person, before)
    ended = person.types("attach", "last")

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = person.types("receipt", "last", "--json").json()
    assert receipt["artifacts_at"] == f"s3://{BUCKET}/team/mine-{run_id}"
    assert receipt["artifacts_missing"] == []
    assert store.was_asked_with(second)
    books_agree(receipt, person, cloud)
    assert person.types("pull", "mine").code == 0
    nothing_is_lost(receipt, before)
