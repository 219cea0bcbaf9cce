"""`submit --wait`: nothing is for rent, for a while or for good."""

from __future__ import annotations

import pytest

from tests.e2e.books import books_agree, books_of_both
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person


def waits(person: Person, cloud: Cloud, *options: str) -> None:
    """A run that was submitted while every create is refused, and has asked again."""
    cloud.fault("no_capacity", times=None)
    person.submits(own_code(person), "--wait", "2h", "--set", "gpu.name=L4", *options)
    view = person.waits(lambda view: "asking again until" in view["waiting"])
    assert (view["state"], cloud.machines(person.home_id)) == ("planned", [])


@pytest.mark.slow
def test_a_run_waits_for_capacity_through_its_drivers_death_and_then_does_its_job(
    person: Person, cloud: Cloud
) -> None:
    waits(person, cloud)
    assert "asking again" in " ".join(person.types("ps").out.split())
    person.kills_driver()
    cloud.clear_faults()
    cloud.advance(1800)

    attached = person.types("attach", "last")

    receipt = person.types("receipt", "last", "--json").json()
    assert attached.code == 0, attached.err
    assert receipt["outcome"] == "succeeded"
    books_agree(receipt, person, cloud)


def test_nothing_is_rented_after_the_wait_however_much_is_for_rent_then(
    person: Person, cloud: Cloud
) -> None:
    waits(person, cloud)
    person.kills_driver()
    cloud.clear_faults()
    cloud.advance(3 * 3600)

    attached = person.types("attach", "last")

    receipt = person.types("receipt", "last", "--json").json()
    assert attached.code == receipt["exit_code"] == 3
    assert receipt["error"]["problem"].startswith("in 2h nothing that fits could be rented")
    assert cloud.machines(person.home_id) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_machine_that_was_waited_for_is_kept_for_the_next_job(
    person: Person, cloud: Cloud
) -> None:
    waits(person, cloud, "--keep", "10m")
    early = person.types("submit", "mine.yaml", "--yes", "--reuse", "last")
    assert early.code == 2 and "kept once that is over" in early.err
    person.kills_driver()
    cloud.clear_faults()
    cloud.advance(1800)
    assert person.types("attach", "last").code == 0
    first = person.view()["run"]
    assert len(cloud.living(person.home_id)) == 1

    second = person.types("submit", "mine.yaml", "--yes", "--reuse", first, "--json")

    assert second.code == 0, second.err + person.driver_log()
    kept = person.types("receipt", first, "--json").json()
    books_of_both(kept, second.json(), cloud, person.home_id)
