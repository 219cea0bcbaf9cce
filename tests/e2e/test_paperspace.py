"""A job on a provider that bills whole hours, from the command line to the receipt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import CENT, books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code
from tests.e2e.person import Person
from tests.simcloud.paperspace import PaperspaceClient

ACCEPTS = "accept_unguarded: true\n"
HOUR_USD = Decimal("0.52")  # of the cheapest machine, with its disk


@pytest.fixture
def cloud(environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    """A cloud that speaks Paperspace's API alone, page by page."""
    options = ("--boot-s", "1", "--providers", "paperspace")
    made = Cloud(tmp_path / "cloud", environment, *options)
    made.switch(page_size=2)
    yield made
    made.close()


def on_paperspace(person: Person, more: str = ACCEPTS) -> str:
    job = own_code(person, WRITES_A_RESULT, more=more, max_cost="5.00")
    path = person.desk / job
    path.write_text(path.read_text().replace("[runpod]", "[paperspace]"))
    return job


def nothing_is_left(cloud: Cloud) -> None:
    """No machine, and nothing that would outlive one."""
    with PaperspaceClient(cloud.env) as client:
        give_up_at = time.monotonic() + 30
        while any(client.rows(path) for path in ("/startup-scripts", "/public-ips", "/snapshots")):
            assert time.monotonic() < give_up_at, "something is left on the account"
            time.sleep(0.2)
        assert client.ids() == []


def test_the_plan_says_that_nothing_ends_the_machine_and_that_hours_are_whole(
    person: Person, cloud: Cloud
) -> None:
    refused = person.types("submit", on_paperspace(person, ""), "--yes")
    assert refused.code == 3
    assert "no guard if this computer is off" in " ".join((refused.out + refused.err).split())
    assert cloud.machines() == []

    accepted = person.types("plan", on_paperspace(person))
    words = " ".join(accepted.out.split())
    assert accepted.code == 0, accepted.err
    assert "no guard if this computer is off: then it bills $0.5" in words
    assert "an hour that has begun costs the whole hour ($0.53)" in words


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "reply_lost", "static_ip"])
def test_a_job_is_done_and_machine_script_and_address_are_gone(
    person: Person, cloud: Cloud, fault: str
) -> None:
    if fault:
        cloud.fault(fault, provider="paperspace", operation="create")
    run = person.submits(on_paperspace(person))
    with cloud.hurrying(2.0):
        assert person.types("attach", run).code == 0

    receipt = person.types("receipt", run, "--json").json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", "paperspace")
    assert (receipt["guard"], receipt["host_key_by"]) == ("absent", "first boot")
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    books_agree(receipt, person, cloud)
    assert abs(cloud.billed_usd(person.home_id) - HOUR_USD) < CENT  # one whole hour
    nothing_is_left(cloud)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "why"), [("done", "it is stopped"), ("error", "create: Insufficient capacity")]
)
def test_a_machine_that_stays_off_for_lack_of_capacity_goes_back_and_another_does_the_job(
    person: Person, cloud: Cloud, event: str, why: str
) -> None:
    """Its create was answered like any other; a running one is not deleted here."""
    cloud.switch(delete_needs_off=True)
    cloud.fault("never_on", provider="paperspace", event=event)
    run = person.submits(on_paperspace(person))
    with cloud.hurrying(2.0):
        assert person.types("attach", run, limit_s=240).code == 0

    receipt = person.types("receipt", run, "--json").json()
    first, second = receipt["machines"]
    assert why in first["why_ended"]
    assert second["returned"]["proven"] is True
    assert receipt["outcome"] == "succeeded"
    # Of a machine that never ran the provider bills the disk; an estimate cannot know that.
    billed_usd = cloud.billed_usd(person.home_id)
    assert billed_usd <= Decimal(receipt["cost_usd"]) <= Decimal(receipt["spent_upper_usd"])
    assert Decimal(receipt["spent_upper_usd"]) <= Decimal(receipt["cap_usd"])
    nothing_is_left(cloud)


@pytest.mark.slow
def test_a_computer_that_sleeps_through_the_night_pays_until_the_providers_own_stop(
    person: Person, cloud: Cloud
) -> None:
    """It comes behind the deadline and leaves the machine off: that goes back at the first look."""
    job = on_paperspace(person)
    person.writes("trainer/train.py", WAITS + WRITES_A_RESULT)
    run = person.submits(job)
    person.waits_for_state("running")
    person.puts_to_sleep()
    cloud.says_go(run)
    for _ in range(16):
        cloud.advance(1800)
        time.sleep(0.3)
    (machine,) = cloud.living(person.home_id)
    assert machine["status"] == "stopped"
    person.wakes_up()
    with cloud.hurrying(2.0):
        assert person.types("attach", run, limit_s=240).code == 8

    receipt = person.types("receipt", run, "--json").json()
    assert receipt["artifacts_missing"]
    assert receipt["returned"]["proven"] is True
    billed_usd = cloud.billed_usd(person.home_id)
    assert 2 * HOUR_USD < billed_usd < 5 * HOUR_USD  # of eight
    assert billed_usd <= Decimal(receipt["spent_upper_usd"])
    nothing_is_left(cloud)
