from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.budget.price import Price
from orchestrator.budget.traffic import Traffic
from orchestrator.lifecycle.guards import guard_grade, guard_sentences
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.run import Candidate
from tests.lifecycle.clouds import FREE, GUARDED
from tests.runs.samples import launch, offer

UNGUARDED = Capabilities(guard=GuardWay.NONE)
NOBODY: frozenset[str] = frozenset()


def candidate(guard: str) -> Candidate:
    usd = offer().price.usd_per_hour
    return Candidate(offer(), (0.1, 0.2), (usd, usd), 60.0, 7200.0, False, guard)


def told(guard: str, facts: Capabilities, *, bucket: str = "") -> str:
    sends = replace(launch(), bucket=bucket)
    return "\n".join(guard_sentences(candidate(guard), facts, sends))


@pytest.mark.parametrize(
    ("facts", "drilled", "watched", "grade"),
    [
        (GUARDED, False, False, "plausible"),
        (GUARDED, True, True, "drilled"),
        (FREE, False, False, "not needed"),
        (UNGUARDED, True, False, "absent"),
        (UNGUARDED, False, True, "watched"),
    ],
)
def test_a_guard_has_a_grade(facts: Capabilities, drilled: bool, watched: bool, grade: str) -> None:
    one = frozenset(["runpod"])

    assert (
        guard_grade("runpod", facts, one if drilled else NOBODY, one if watched else NOBODY)
        == grade
    )


def test_without_a_guard_the_plan_says_what_happens_when_this_computer_is_off() -> None:
    words = told("absent", UNGUARDED)

    assert "no guard if this computer is off: then it bills $" in words
    assert "past the cap too, until gpulease runs again" in words
    assert "results wait on the machine" in words
    assert "then are lost" not in words


def test_a_reaper_on_another_host_stands_for_the_guard_while_it_lives() -> None:
    words = told("watched", UNGUARDED)

    assert "a reaper on another host ends it once it is 15 min past its deadline of 2.0 h" in words
    assert "no guard if this computer is off" not in words


def test_a_machine_that_ends_itself_says_so_and_what_is_lost_with_it() -> None:
    assert "ends itself after 2.0 h at the latest" in told("plausible", GUARDED)
    assert "drilled" in told("drilled", GUARDED)
    assert "then are lost" in told("plausible", GUARDED)


def test_what_costs_nothing_needs_no_guard_and_keeps_what_it_made() -> None:
    words = told("not needed", FREE)

    assert words.startswith("a computer of your own costs nothing")
    assert "the job goes on, and its results wait where it runs" in words
    assert "bucket" not in words


def test_what_becomes_of_results_in_a_bucket_is_said_of_each_kind_of_machine() -> None:
    to = "s3://results/team"
    guarded, unguarded, own = (
        told(guard, facts, bucket=to)
        for guard, facts in (("plausible", GUARDED), ("absent", UNGUARDED), ("not needed", FREE))
    )

    assert all("the machine gets no AWS key" in words for words in (guarded, unguarded, own))
    assert "the machine ends itself once all is there" in guarded
    assert "if this computer is off, results still go to the bucket" in unguarded
    assert "its folder stays where it runs" in own
    assert "ends itself" not in unguarded + own and "are lost" not in unguarded + own


def test_what_is_kept_for_traffic_is_told_where_it_is_charged() -> None:
    assert "traffic" not in told("plausible", GUARDED)
    first = candidate("plausible")
    priced = replace(first.offer, price=Price(Decimal("0.60"), Decimal("0.02"), Decimal("0.01")))
    sends = replace(launch(), traffic=Traffic(image_bytes=25 << 30, sends_bytes=1 << 30))

    said = guard_sentences(replace(first, offer=priced), GUARDED, sends)

    assert any(one.startswith("traffic: $0.27 of the worst case") for one in said)


def test_where_whole_hours_are_billed_the_plan_says_so() -> None:
    hourly = Capabilities(guard=GuardWay.NONE, billing_increment_s=3600)

    assert f"costs the whole hour (${offer().price.usd_per_hour:.2f})" in told("absent", hourly)
    assert "whole hour" not in told("absent", UNGUARDED)


def test_a_stop_by_the_provider_is_told_and_is_no_guard() -> None:
    stops = Capabilities(guard=GuardWay.NONE, own_stop_s=7200.0)

    words = told("absent", stops)

    assert "no guard if this computer is off" in words
    assert "is asked to stop the machine 2 h after its deadline at the latest" in words
    assert "lost with it once the cap is passed, or its provider has stopped it" in words


def test_what_a_reaper_ends_is_not_said_to_wait_for_the_cap() -> None:
    assert "lost with it once the cap is passed" in told("absent", UNGUARDED)
    assert "passed, or the reaper has ended it" in told("watched", UNGUARDED)
    assert "asked to stop" not in told("absent", UNGUARDED)
