"""`doctor --drill`: does a real machine of the simulated cloud end itself, with nobody's help?"""

from __future__ import annotations

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person


def drills(person: Person, cloud: Cloud, *, past_s: float) -> tuple[int, dict[str, object], str]:
    """Exit code, receipt and asides of a drill during which time is made to pass."""
    with person.starts("doctor", "--drill", "runpod", "--yes", "--json") as process:
        person.waits_for_state("booting")
        person.waits(lambda view: "is to end itself" in view["waiting"])
        cloud.advance(past_s)
        with cloud.hurrying():
            ended = person.ends(process)
    return ended.code, ended.json(), ended.err


@pytest.mark.slow
def test_a_machine_that_ends_itself_makes_the_guard_drilled(person: Person, cloud: Cloud) -> None:
    path = own_code(person, "print('trained')\n", max_cost="1.00")
    assert "doctor --drill runpod makes one for cents" in person.types("plan", path).out

    code, receipt, told = drills(person, cloud, past_s=240)

    assert code == 0, told
    assert (receipt["kind"], receipt["outcome"], receipt["guard"]) == (
        "drill",
        "succeeded",
        "drilled",
    )
    assert "at most" not in told  # nobody was asked
    books_agree(receipt, person, cloud, ended_by=["self"])
    plan = person.types("plan", path, "--json").json()
    assert {offer["guard"] for offer in plan["offers"]} == {"drilled"}


@pytest.mark.slow
def test_a_machine_whose_guard_is_refused_is_returned_and_said(
    person: Person, cloud: Cloud
) -> None:
    cloud.switch(pod_key_ways=[])
    try:
        code, receipt, told = drills(person, cloud, past_s=600)
    finally:
        cloud.switch(pod_key_ways=["v2", "graphql"])

    assert code == 6, told
    assert receipt["error"]["code"] == "guard"  # type: ignore[index]
    assert receipt["returned"]["proven"] is True  # type: ignore[index]
    (machine,) = cloud.machines(person.home_id)
    assert machine["ended_by"] == "api"
    path = own_code(person, "print('trained')\n", max_cost="1.00")
    plan = person.types("plan", path, "--json").json()
    assert {offer["guard"] for offer in plan["offers"]} == {"plausible"}


def test_nothing_is_rented_where_nobody_can_be_asked(person: Person, cloud: Cloud) -> None:
    ended = person.types("doctor", "--drill", "runpod")

    assert ended.code == 2
    assert "add --yes" in ended.err
    assert cloud.machines(person.home_id) == []
