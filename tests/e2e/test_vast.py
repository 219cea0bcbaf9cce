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
