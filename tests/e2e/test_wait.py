"""`submit --wait`: nothing is for rent, for a while or for good."""

from __future__ import annotations

import pytest

from tests.e2e.books import books_of_both
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.e2e.places import Place, everywhere


def waits(person: Person, place: Place, *options: str) -> None:
    """A run that was submitted while nothing could be had, and has asked again."""
    place.is_taken()
    job = own_code(person, providers=place.provider)
    person.submits(job, "--wait", "2h", *place.on_gpu, *options)
    view = person.waits(lambda view: "asking again until" in view["waiting"])
    assert (view["state"], place.machines(person)) == ("planned", [])


@pytest.mark.slow
@everywhere
def test_a_run_waits_for_capacity_through_its_drivers_death_and_then_does_its_job(
    person: Person, place: Place
) -> None:
    waits(person, place)
    assert "asking again" in " ".join(person.types("ps").out.split())
    person.kills_driver()
    place.is_free_again()
    place.advance(1800)

    attached = person.types("attach", "last")

    receipt = person.types("receipt", "last", "--json").json()
    assert attached.code == 0, attached.err
    assert receipt["outcome"] == "succeeded"
    assert receipt["offer"]["gpu"] == "L4"
    place.has_all_back(receipt, person)


@everywhere
def test_nothing_is_rented_after_the_wait_however_much_is_for_rent_then(
    person: Person, place: Place
) -> None:
    waits(person, place)
    person.kills_driver()
    place.is_free_again()
    place.advance(3 * 3600)

    attached = person.types("attach", "last")

    receipt = person.types("receipt", "last", "--json").json()
    assert attached.code == receipt["exit_code"] == 3
    assert receipt["error"]["problem"].startswith("in 2h nothing that fits could be rented")
    place.has_all_back(receipt, person, machines=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_machine_that_was_waited_for_is_kept_for_the_next_job(
    person: Person, place: Place, cloud: Cloud
) -> None:
    waits(person, place, "--keep", "10m")
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
