"""`gpulease close --seen-gone`: a person's word, where the provider proves nothing any more."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.person import Person, waits_until
from tests.e2e.places import Place
from tests.e2e.test_homes import came_home, works
from tests.providers.ssh_host.workstation import Workstation

pytestmark = pytest.mark.slow


@pytest.fixture
def stuck(person: Person, cloud: Cloud) -> dict[str, Any]:
    """A run whose results are home, and whose machine nobody may end: the key is revoked."""
    run = works(person)
    cloud.fault("key_revoked")
    cloud.says_go(run)
    person.waits(lambda view: view["state"] == "returning" and "401" in " ".join(view["notes"]))
    (machine,) = cloud.living(person.home_id)
    return machine


def close(person: Person) -> dict[str, Any]:
    ended = person.types("close", "last", "--seen-gone", "--yes-i-saw-it-gone", "mine", "--json")
    assert ended.code == 7, ended.err
    return ended.json()


def nothing_is_committed(person: Person) -> bool:
    return Decimal(person.types("ps", "--json").json()["month"]["committed_usd"]) == 0


def test_a_machine_that_was_ended_by_hand_is_closed_and_never_called_proven(
    person: Person, cloud: Cloud, stuck: dict[str, Any]
) -> None:
    cloud.machine_fault(stuck["id"], "host_lost")

    unsure = person.types("close", "last", "--seen-gone", "--yes-i-saw-it-gone", "another")
    closed = close(person)

    assert unsure.code == 2
    assert (closed["state"], closed["outcome"]) == ("returning", "succeeded")
    person.waits_for_state("ended")
    receipt = person.types("receipt", "last", "--json")
    assert receipt.code == 7
    assert receipt.json()["returned"]["proven"] is False
    assert [one["returned"]["by"] for one in receipt.json()["machines"]] == ["user"]
    assert came_home(receipt.json())
    assert nothing_is_committed(person)
    bill_usd = cloud.billed_usd(person.home_id)
    assert bill_usd <= Decimal(receipt.json()["spent_upper_usd"])
    assert "NOT PROVEN" in person.types("receipt", "last").out.upper()


def test_a_machine_that_was_not_gone_is_ended_once_the_account_can_be_read(
    person: Person, cloud: Cloud, stuck: dict[str, Any]
) -> None:
    close(person)
    person.waits_for_state("ended")
    assert cloud.living(person.home_id)

    cloud.fault("key_restored")
    looked = person.types("machines")
    cloud.waits_for(stuck["id"], ended_by="api", step_s=5.0)

    assert stuck["id"] in looked.out
    assert person.types("receipt", "last").code == 7
    assert nothing_is_committed(person)


@pytest.mark.parametrize("place", ["ssh_host"], indirect=True)
def test_a_workstation_that_nobody_reaches_is_closed_and_cleared_should_it_come_back(
    person: Person, place: Place, tower: Workstation
) -> None:
    before = tower.listing()
    works(person, providers=place.provider)
    place.loses_touch(person)
    person.waits(lambda view: "does not answer" in view["waiting"])
    early = person.types("close", "last", "--seen-gone", "--yes-i-saw-it-gone", "mine")
    assert (early.code, "gpulease cancel" in early.err) == (2, True)

    person.types("cancel", "last", "--now")
    person.waits_for_state("returning")
    close(person)
    person.waits_for_state("ended")

    receipt = person.types("receipt", "last", "--json")
    assert receipt.code == 7
    assert [one["returned"]["by"] for one in receipt.json()["machines"]] == ["user"]
    assert receipt.json()["spent_upper_usd"] == "0.00"
    assert len(place.machines(person)) == 1
    place.is_found_again()
    person.types("machines")
    with place.hurrying():
        waits_until(lambda: place.machines(person) == [])
    assert (tower.processes(), tower.listing()) == ([], before)
