"""A job on a market of strangers' machines, from the command line to the proof of return."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person


@pytest.fixture(scope="module")
def market(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """Vast.ai alone, in a process of its own."""
    state = tmp_path_factory.mktemp("vast")
    cloud = Cloud(state, environment, "--providers", "vast", "--boot-s", "0.5")
    cloud.switch(thresholds=True)
    yield cloud
    cloud.close()


@pytest.fixture
def renter(market: Cloud, environment: dict[str, str], tmp_path: Path) -> Iterator[Person]:
    """Somebody who has a key for Vast.ai alone."""
    person = Person(tmp_path / "ada", environment | market.env)
    yield person
    person.kills_driver()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_job_on_vast_is_shipped_run_collected_and_given_back(
    renter: Person, market: Cloud
) -> None:
    job = own_code(renter)

    with renter.starts("submit", job, "--provider", "vast", "--yes", "--json") as process:
        market.waits_for_a_machine(renter.home_id)
        (rented,) = market.machines(renter.home_id)
        market.waits_for(rented["id"], ended_by="api")
        with market.hurrying():
            ended = renter.ends(process)

    assert ended.code == 0, ended.err + renter.driver_log()
    assert "host key by boot log" in renter.driver_log() + ended.err
    receipt = ended.json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", "vast")
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    (machine,) = books_agree(receipt, renter, market)
    assert Decimal(receipt["machines"][0]["price_usd_per_hour"]) > 0
    assert machine["ended_by"] == "api"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_instance_ends_itself_in_a_drill_with_its_containers_own_key(
    renter: Person, market: Cloud
) -> None:
    with renter.starts("doctor", "--drill", "vast", "--yes", "--json") as process:
        market.waits_for_a_machine(renter.home_id)
        (rented,) = market.living(renter.home_id)
        market.waits_for(rented["id"], ended_by="self", step_s=5.0)
        with market.hurrying():
            ended = renter.ends(process)

    assert ended.code == 0, ended.err + renter.driver_log()
    assert ended.json()["outcome"] == "succeeded"
    plan = renter.types("plan", own_code(renter), "--provider", "vast", "--json").json()
    assert plan["offers"][0]["guard"] == "drilled"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_container_without_its_key_is_given_back_and_the_next_offer_is_tried(
    renter: Person, market: Cloud
) -> None:
    market.fault("env_missing", provider="vast")
    job = own_code(renter)

    with renter.starts("submit", job, "--provider", "vast", "--yes", "--json") as process:
        market.waits_for_a_machine(renter.home_id)
        (first,) = market.machines(renter.home_id)
        market.waits_for(first["id"], ended_by="api")
        with market.hurrying(step_s=1.0):
            ended = renter.ends(process)

    assert ended.code == 0, ended.err + renter.driver_log()
    receipt = ended.json()
    assert "guard is not armed" in receipt["machines"][0]["why_ended"]
    books_agree(receipt, renter, market, ended_by=["api", "api"])


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_gpu_that_is_listed_and_dead_goes_back_before_anything_is_sent_to_it(
    renter: Person, market: Cloud
) -> None:
    market.fault("cuda_dead", provider="vast")
    job = own_code(renter, max_cost="3.00")
    path = renter.desk / job
    path.write_text(path.read_text().replace("{allow_cpu: true}", "{memory_gib: 12}"))

    with renter.starts("submit", job, "--provider", "vast", "--yes", "--json") as process:
        market.waits_for_a_machine(renter.home_id)
        (first,) = market.machines(renter.home_id)
        market.waits_for(first["id"], ended_by="api")
        with market.hurrying(step_s=1.0):
            ended = renter.ends(process)

    assert ended.code == 0, ended.err + renter.driver_log()
    receipt = ended.json()
    assert "stayed dead: CUDA answers with error 802" in receipt["machines"][0]["why_ended"]
    assert receipt["device"] == "cuda"
    books_agree(receipt, renter, market, ended_by=["api", "api"])
