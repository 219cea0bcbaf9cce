"""A provider that takes nothing back for an hour: the run says so, and then the machine is gone."""

from __future__ import annotations

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.e2e.test_homes import came_home, receipt_of

HOUR_S = 3600.0


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["lives", "is dead"])
def test_a_return_that_is_refused_for_an_hour_is_loud_and_then_proven(
    driver: str, person: Person, cloud: Cloud
) -> None:
    cloud.fault("5xx", operation="delete", times=None)
    # It would be held for longer than all of this takes: nothing but a delete ends it.
    job = own_code(person, max_cost="5.00", more="artifacts: {hold: 5h}\n")
    began_s = cloud.now_s()
    with person.starts("submit", job, "--yes", "--ephemeral-keys") as follower:
        person.waits_for_state("returning")
        with cloud.hurrying(step_s=20.0):
            followed = person.ends(follower)
    assert followed.code == 7, followed.err
    assert "IS NOT PROVEN RETURNED" in followed.err
    assert "gpulease close" in followed.err
    (machine,) = cloud.living(person.home_id)

    if driver == "is dead":
        person.kills_driver()
    cloud.advance(began_s + HOUR_S - cloud.now_s())
    person.waits_for_state("returning")
    assert [one["id"] for one in cloud.living(person.home_id)] == [machine["id"]]
    if driver == "lives":
        stuck = person.view()
        assert (stuck["state"], stuck["returned"]["proven"]) == ("returning", False)
        assert "refuses to end" in stuck["waiting"]
    cloud.clear_faults()
    if driver == "is dead":
        reaped = person.types("reap", "--delete", "--json")
        assert reaped.code == 0, reaped.err
        assert [one["id"] for one in reaped.json()["machines"]] == [machine["id"]]
        assert cloud.living(person.home_id) == []
    cloud.waits_for(machine["id"], ended_by="api", step_s=5.0)

    receipt = receipt_of(person, cloud)
    assert (receipt["outcome"], receipt["exit_code"]) == ("succeeded", 0)
    assert came_home(receipt)
    books_agree(receipt, person, cloud)
