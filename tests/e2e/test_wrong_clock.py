"""A machine whose clock is ten minutes off all the time: money and work keep the right one.

What ends it in time is the earlier of its clock and of what went by since it began: one that is
behind gains nothing, and one that is ahead ends its work as much earlier, which is told.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud, deadline_s_of
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code, training
from tests.e2e.person import Person

OFF_S = 600.0
BRIEFLY = "artifacts: {hold: 5m}\n"

pytestmark = pytest.mark.slow


@pytest.fixture(params=[OFF_S, -OFF_S], ids=["ahead", "behind"])
def ahead_s(request: pytest.FixtureRequest) -> float:
    """By how much the machines' clocks are ahead of everybody else's."""
    seconds: float = request.param
    return seconds


@pytest.fixture
def cloud(ahead_s: float, environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    ahead = f"--machines-ahead-s={ahead_s}"
    cloud = Cloud(tmp_path / "cloud", environment, "--boot-s", "0.5", "--no-hub", ahead)
    cloud.advance(2 * OFF_S)  # a guard of sh reads whole numbers from 0
    yield cloud
    cloud.close()


def times(person: Person) -> list[float]:
    """When the home's events happened, as it wrote them down."""
    with closing(sqlite3.connect(person.home / "gpulease.sqlite")) as store:
        return [at_s for (at_s,) in store.execute("SELECT at_s FROM events ORDER BY id")]


def test_events_phases_and_costs_are_told_in_the_right_time(person: Person, cloud: Cloud) -> None:
    began_s = cloud.now_s()
    run = person.submits(own_code(person, WAITS + WRITES_A_RESULT))
    person.waits_for_state("running")
    cloud.advance(120)
    cloud.says_go(run)
    person.waits_for_state("returning")
    with cloud.hurrying():
        ended = person.types("attach", run, "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = person.view()
    books_agree(receipt, person, cloud)
    ended_s = cloud.now_s()
    assert began_s <= min(times(person)) and max(times(person)) <= ended_s
    assert times(person) == sorted(times(person))
    phases = receipt["phases_s"]
    assert all(0 <= seconds < OFF_S for seconds in phases.values()), phases
    assert phases["job"] >= 120
    assert sum(phases.values()) <= ended_s - began_s


def test_a_wrong_clock_leaves_the_hold_as_long_as_it_was_to_be(
    person: Person, cloud: Cloud
) -> None:
    run = person.submits(own_code(person, WAITS + WRITES_A_RESULT, more=BRIEFLY))
    person.waits_for_state("running")
    (machine,) = cloud.living(person.home_id)
    person.puts_to_sleep()
    ends_s = cloud.now_s()
    cloud.says_go(run)

    ended = cloud.waits_for(machine["id"], ended_by="self", step_s=5.0)

    assert 300 <= ended["ended_at"] - ends_s < 300 + OFF_S / 2
    cloud.advance(8 * 3600)
    person.wakes_up()
    with cloud.hurrying():
        person.types("attach", "last")
    receipt = person.view()
    assert (receipt["outcome"], receipt["exit_code"]) == ("expired", 8)  # nobody saw its end
    books_agree(receipt, person, cloud, ended_by=["self"])


def test_nothing_lives_past_its_deadline(person: Person, cloud: Cloud, ahead_s: float) -> None:
    job = own_code(person, "import time; time.sleep(90000)", max_duration="20m", more=BRIEFLY)
    person.submits(job)
    person.waits_for_state("running")
    (machine,) = cloud.living(person.home_id)
    ends_s = deadline_s_of(machine) - max(0.0, ahead_s)

    person.kills_driver()

    cloud.advance(ends_s - cloud.now_s() - 60)
    assert cloud.living(person.home_id), "it ended before its time"
    ended = cloud.waits_for(machine["id"], ended_by="self", step_s=2.0)
    assert ended["ended_at"] <= ends_s + 60


def test_the_time_for_work_is_over_and_its_checkpoint_comes_home(
    person: Person, cloud: Cloud, ahead_s: float
) -> None:
    began_s = cloud.now_s()
    job = own_code(person, training(steps=9, waits_at=5), max_duration="20m", more=BRIEFLY)
    person.submits(job)
    person.waits(lambda view: view["progress"].get("step") == 5)
    cloud.advance(500)
    assert person.state() == "running", "it has time"

    cloud.advance(100 if ahead_s > 0 else 700)
    person.waits_for_state("returning")
    worked_s = cloud.now_s() - began_s
    with cloud.hurrying():
        ended = person.types("attach", "last")

    assert worked_s < 1400
    receipt = person.view()
    assert (receipt["outcome"], ended.code) == ("expired", 5)
    home = Path(receipt["artifacts_dir"])
    assert json.loads((home / "checkpoints/step-5/state.json").read_text())["lives"] == 1
    assert receipt["artifacts_missing"] == []
    told = receipt["error"]["problem"]
    assert ("its clock" if ahead_s > 0 else "max_duration of 20 min") in told
    books_agree(receipt, person, cloud)
