from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.lifecycle.admission import may_be_used, with_closed
from orchestrator.offers.offer import Bid
from orchestrator.offers.rank import Selection
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.spec.job import Job
from tests.lifecycle.clouds import FREE, GUARDED
from tests.lifecycle.jobs import own_code
from tests.runs.samples import offer

UNGUARDED = Capabilities(guard=GuardWay.NONE, container_images=False)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return own_code(tmp_path_factory.mktemp("job"))


def test_a_machine_that_nothing_ends_needs_the_jobs_own_word(job: Job) -> None:
    allowed, closed = may_be_used(job, [offer()], {"runpod": UNGUARDED})

    assert allowed == []
    assert closed[0].why.startswith("no guard if this computer is off")
    told = with_closed(Selection([], [], ""), closed)
    assert "`accept_unguarded: true` may allow" in told.relaxation
    assert told.refused == [(closed[0].offer, closed[0].why)]


def test_with_that_word_it_is_an_offer_like_others(job: Job) -> None:
    accepting = job.model_copy(update={"accept_unguarded": True})

    assert may_be_used(accepting, [offer()], {"runpod": UNGUARDED}) == ([offer()], [])


@pytest.mark.parametrize("facts", [GUARDED, FREE])
def test_what_ends_itself_or_costs_nothing_is_let_in(job: Job, facts: Capabilities) -> None:
    assert may_be_used(job, [offer()], {"runpod": facts}) == ([offer()], [])


def test_a_whole_computer_runs_no_image_of_the_jobs(job: Job) -> None:
    wants = job.model_copy(update={"accept_unguarded": True, "image": "acme/train:3"})

    allowed, closed = may_be_used(wants, [offer()], {"runpod": UNGUARDED})

    assert allowed == []
    assert (closed[0].remedy, "image" in closed[0].why) == ("`image: auto`", True)


def test_another_remedy_is_not_hidden() -> None:
    assert with_closed(Selection([], [], "something else"), []).relaxation == "something else"


def test_what_may_be_taken_away_needs_the_jobs_own_word(job: Job) -> None:
    bid = replace(offer(), bid=Bid(Decimal("0.20")))

    allowed, closed = may_be_used(job, [bid], {"runpod": GUARDED})

    assert (allowed, closed[0].remedy) == ([], "`spot: true`")
    wants = job.model_copy(update={"spot": True})
    assert may_be_used(wants, [bid], {"runpod": GUARDED}) == ([bid], [])
