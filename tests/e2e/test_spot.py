"""A training on a machine that was bid for, which somebody takes away in the middle of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.kills import CHECKPOINTS
from tests.e2e.person import Person
from tests.e2e.test_resume import log_of, receipt_of, says_go, waits_for_step

SAVES_EVERY = 2


@pytest.fixture
def market(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """Vast.ai alone, in a process of its own."""
    state = tmp_path_factory.mktemp("vast")
    cloud = Cloud(state, environment, "--providers", "vast", "--boot-s", "0.5")
    yield cloud
    cloud.close()


@pytest.fixture
def bidder(market: Cloud, environment: dict[str, str], tmp_path: Path) -> Iterator[Person]:
    """Somebody who has a key for Vast.ai alone."""
    person = Person(tmp_path / "ada", environment | market.env)
    yield person
    person.kills_driver()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_training_whose_machine_is_taken_away_goes_on_from_its_last_complete_step(
    bidder: Person, market: Cloud
) -> None:
    script = training(steps=7, saves_every=SAVES_EVERY, waits_at=5)
    job = own_code(bidder, script, more=f"{CHECKPOINTS}spot: true\n")
    planned = bidder.types("plan", job, "--provider", "vast").out
    assert "holds" in planned and "goes to whoever bids more" in planned
    run_id = bidder.submits(job, "--provider", "vast")
    waits_for_step(bidder, 5)
    at_home = bidder.home / "runs" / run_id / "checkpoints"
    with market.hurrying(step_s=1.0):  # the next pull is due in some seconds
        bidder.waits(lambda _: (at_home / "step-4/complete.json").exists())
    (taken,) = market.living(bidder.home_id)

    market.machine_fault(taken["id"], "spot_reclaim")
    with market.hurrying(step_s=1.0):
        bidder.waits(lambda view: len(view["machines"]) == 2, limit_s=180)
    waits_for_step(bidder, 5, machines=2)
    says_go(bidder)

    receipt = receipt_of(bidder, market)
    trained = json.loads(Path(receipt["artifacts_dir"], "trained.json").read_text())
    assert trained == {"steps": [1, 2, 3, 4, 5, 6, 7], "lives": 2}
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    steps = [int(line.split()[1]) for line in log_of(receipt) if line.startswith("step ")]
    assert len(steps) - len(set(steps)) <= SAVES_EVERY
    first, second = receipt["machines"]
    assert first["spot"] and first["reclaimed_at"] and not second["reclaimed_at"]
    (told,) = (note for note in receipt["notes"] if "was taken away by a higher bid" in note)
    assert "from its checkpoint at step 4" in told
    assert "reclaims" in bidder.types("receipt", "last").out
    machines = books_agree(receipt, bidder, market, ended_by=["api", "api"])
    bid_usd = Decimal(planned.split("is a bid of $")[1].split("/h")[0])
    assert Decimal(machines[0]["price_usd_per_hour"]) > bid_usd  # and the disk beside it
