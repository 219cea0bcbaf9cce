"""The cap and max_duration end a training in time for its checkpoint, and for the return."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runs.states import LeaseState
from orchestrator.store.journal import Journal
from tests.app.homes import add, ended
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person
from tests.e2e.places import Place, everywhere
from tests.runs.samples import lease

DEAF = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(9000)
"""
HOLDS_BRIEFLY = "artifacts: {hold: 1m}\n"


def trains_until(person: Person, place: Cloud | Place, seconds: float) -> dict[str, Any]:
    """The receipt of a training that would wait for ever, when `seconds` have gone by."""
    person.waits(lambda view: view["progress"].get("step") == 5)
    place.advance(seconds)
    person.waits_for_state("returning")
    with place.hurrying():
        ended = person.types("attach", "last")
    receipt = person.view()
    assert ended.code == receipt["exit_code"] == 5, ended.err
    home = Path(receipt["artifacts_dir"])
    assert (home / "stopped.txt").read_text() == "signal 15 after step 5\n"
    state = json.loads((home / "checkpoints/step-5/state.json").read_text())
    assert state["steps"] == [1, 2, 3, 4, 5]
    assert receipt["artifacts_missing"] == []
    return receipt


def test_the_cap_in_mid_training_saves_a_checkpoint_and_is_not_passed(
    person: Person, cloud: Cloud
) -> None:
    script = training(steps=9, waits_at=5)
    person.submits(own_code(person, script, max_cost="0.05", more=HOLDS_BRIEFLY))

    receipt = trains_until(person, cloud, 650)

    assert receipt["outcome"] == "capped"
    assert receipt["error"]["code"] == "capped"
    assert "the cap of $0.05 was reached" in receipt["error"]["problem"]
    assert Decimal("0.03") < Decimal(receipt["spent_upper_usd"]) <= Decimal("0.05")
    books_agree(receipt, person, cloud)


@pytest.mark.slow
@everywhere
def test_max_duration_in_mid_training_saves_a_checkpoint_and_has_expired(
    person: Person, place: Place
) -> None:
    script = training(steps=9, waits_at=5)
    where = {"providers": place.provider, "more": HOLDS_BRIEFLY}
    person.submits(own_code(person, script, max_duration="2m", **where))

    receipt = trains_until(person, place, 120)

    assert receipt["outcome"] == "expired"
    assert receipt["error"]["code"] == "max_duration"
    place.has_all_back(receipt, person)


@pytest.mark.slow
def test_a_program_that_hangs_on_sigterm_is_killed_and_the_cap_is_not_passed(
    person: Person, cloud: Cloud
) -> None:
    person.submits(own_code(person, DEAF, max_cost="0.05", more=HOLDS_BRIEFLY))
    person.waits(lambda view: "deaf" in person.types("logs", "last").out)

    cloud.advance(650)
    with cloud.hurrying(step_s=2.0):
        ended = person.types("attach", "last")

    receipt = person.view()
    assert (ended.code, receipt["outcome"]) == (5, "capped")
    assert {one["path"] for one in receipt["artifacts"]} >= {"log.txt", "exit.json"}
    books_agree(receipt, person, cloud)


def test_time_for_results_is_reserved_at_the_rate_at_which_they_came_home_of_late(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person)
    before = person.types("plan", job, "--json").json()
    slow = lease("label-0", run_id="runid456", state=LeaseState.CLOSED)
    journal = Journal(f"sqlite:///{person.home / 'gpulease.sqlite'}")
    add(journal, ended("runid456").with_lease(slow.with_pulled(100 << 20, 600.0)))
    journal.close()

    after = person.types("plan", job, "--json").json()

    more_usd = Decimal(after["reserve_usd"]) - Decimal(before["reserve_usd"])
    unmeasured_s = (100 << 20) / 2e6
    longer_h = Decimal(600 - unmeasured_s) / 3600
    expected_usd = Decimal(before["offers"][0]["usd_per_hour"]) * longer_h
    assert abs(more_usd - expected_usd) <= Decimal("0.01")
    assert more_usd >= Decimal("0.02")
