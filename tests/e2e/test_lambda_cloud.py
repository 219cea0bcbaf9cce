"""A job on a provider whose machines have no guard, from the command line to the receipt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code
from tests.e2e.person import Person
from tests.simcloud.lambda_cloud import LambdaClient

ACCEPTS = "accept_unguarded: true\n"


@pytest.fixture
def cloud(environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    """A cloud that speaks Lambda's API alone, and counts its calls as it is documented."""
    options = ("--boot-s", "1", "--providers", "lambda")
    made = Cloud(tmp_path / "cloud", environment, *options)
    made.switch(launch_every_s=12.0)
    yield made
    made.close()


def on_lambda(person: Person, more: str = "", script: str = WRITES_A_RESULT) -> str:
    job = own_code(person, script, more=more, max_cost="5.00")
    path = person.desk / job
    path.write_text(path.read_text().replace("[runpod]", "[lambda]"))
    return job


def test_without_the_jobs_word_no_machine_is_offered_that_nothing_ends(
    person: Person, cloud: Cloud
) -> None:
    refused = person.types("submit", on_lambda(person), "--provider", "lambda", "--yes")
    words = " ".join((refused.out + refused.err).split())

    assert refused.code == 3
    assert "no guard if this computer is off" in words
    assert "`accept_unguarded: true` may allow" in words
    assert cloud.machines() == []

    accepted = person.types("plan", on_lambda(person, ACCEPTS))
    words = " ".join(accepted.out.split())
    assert accepted.code == 0, accepted.err
    assert "no guard if this computer is off: then it bills $0.20/h, past the cap too" in words


@pytest.mark.slow
def test_a_job_is_done_and_machine_and_key_are_gone(person: Person, cloud: Cloud) -> None:
    run = person.submits(on_lambda(person, ACCEPTS), "--provider", "lambda")
    with cloud.hurrying(2.0):
        assert person.types("attach", run).code == 0

    receipt = person.types("receipt", run, "--json").json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", "lambda")
    assert (receipt["guard"], receipt["host_key_by"]) == ("absent", "first boot")
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    books_agree(receipt, person, cloud)
    with LambdaClient(cloud.env) as client:
        give_up_at = time.monotonic() + 30
        while client.data("/ssh-keys"):
            assert time.monotonic() < give_up_at, "the run's key is still registered"
            time.sleep(0.2)
        assert client.data("/instances") == []


@pytest.mark.slow
def test_a_computer_that_sleeps_through_the_night_finds_the_results_on_the_machine(
    person: Person, cloud: Cloud
) -> None:
    run = person.submits(on_lambda(person, ACCEPTS, WAITS + WRITES_A_RESULT))
    person.waits_for_state("running")
    person.puts_to_sleep()
    cloud.says_go(run)
    for _ in range(16):
        cloud.advance(1800)
        time.sleep(0.3)
    (machine,) = cloud.living(person.home_id)
    person.wakes_up()
    with cloud.hurrying(2.0):
        assert person.types("attach", run).code == 0

    receipt = person.types("receipt", run, "--json").json()
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    assert [one["id"] for one in books_agree(receipt, person, cloud)] == [machine["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["reply_lost", "rate_limit_after", "html_after", "no_ids"])
def test_a_launch_whose_answer_is_lost_is_found_by_its_name_and_never_sent_again(
    person: Person, cloud: Cloud, fault: str
) -> None:
    cloud.fault(fault, provider="lambda", operation="create")
    run = person.submits(on_lambda(person, ACCEPTS))
    with cloud.hurrying(2.0):
        assert person.types("attach", run).code == 0

    receipt = person.types("receipt", run, "--json").json()
    assert receipt["host_key_by"] == "first boot"
    assert len(books_agree(receipt, person, cloud)) == 1


@pytest.mark.slow
def test_a_gpu_that_is_listed_and_dead_goes_back_before_anything_is_sent_to_it(
    person: Person, cloud: Cloud
) -> None:
    job = on_lambda(person, ACCEPTS)
    path = person.desk / job
    path.write_text(path.read_text().replace("{allow_cpu: true}", "{name: [A10]}"))
    cloud.fault("cuda_dead", provider="lambda")
    run = person.submits(job)
    with cloud.hurrying(2.0):
        assert person.types("attach", run, limit_s=240).code == 0

    receipt = person.types("receipt", run, "--json").json()
    minute_usd = Decimal("1.29") / 60
    books_agree(receipt, person, cloud, ended_by=("api", "api"), tick_usd=2 * minute_usd)
    dead, well = receipt["machines"]
    assert "its GPU is listed, but stayed dead: CUDA answers with error 802" in dead["why_ended"]
    assert (well["gpu"], receipt["device"]) == ("A10", "cuda")
