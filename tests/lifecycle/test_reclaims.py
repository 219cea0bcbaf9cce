from __future__ import annotations

import math
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.lifecycle.reclaims import (
    Stay,
    hours_with_reclaims,
    reclaims_per_hour,
    stays_of,
    told_of_bid,
    with_reclaims,
)
from orchestrator.offers.offer import Bid
from orchestrator.runs.lease import Lease
from tests.runs.samples import NOW_S, lease, offer

DAY_S = 86_400.0
OFFER = replace(offer(), bid=Bid(Decimal("0.20")))


def stay(hours: float, *, reclaimed: bool = True, days_ago: float = 0.0) -> Stay:
    return Stay("runpod", "RTX 4090", hours, NOW_S - days_ago * DAY_S, reclaimed)


def bid(rate: float) -> Bid:
    return Bid(Decimal("0.20"), rate)


def rented(key: str, **changes: object) -> Lease:
    held = {"offer": OFFER, "machine_id": f"m-{key}", "sent_s": NOW_S - 7200.0}
    return lease(key, **{**held, **changes})


def test_until_it_is_seen_a_bid_is_expected_to_hold_for_six_hours() -> None:
    assert reclaims_per_hour([], OFFER, NOW_S) == pytest.approx(1 / 6)


def test_what_was_seen_soon_outweighs_that() -> None:
    seen = [stay(0.25), stay(0.25), stay(0.5)]

    assert reclaims_per_hour(seen, OFFER, NOW_S) == pytest.approx((1 / 3 + 3) / 3)


def test_a_bid_that_held_for_long_lowers_it() -> None:
    held = [stay(30.0, reclaimed=False)]

    assert reclaims_per_hour(held, OFFER, NOW_S) == pytest.approx(1 / 96)


def test_what_was_seen_yesterday_counts_half_and_other_cards_count_not_at_all() -> None:
    others = replace(stay(0.1), gpu="L4"), replace(stay(0.1), provider="elsewhere")

    rate = reclaims_per_hour([stay(1.0, days_ago=1.0), *others], OFFER, NOW_S)

    assert rate == pytest.approx((1 / 3 + 0.5) / 2.5)


def test_only_offers_to_bid_for_are_taken_away() -> None:
    on_demand, to_bid_for = with_reclaims([offer(), OFFER], [stay(0.5)], NOW_S)

    assert on_demand == offer()
    assert to_bid_for.bid is not None
    assert to_bid_for.bid.reclaims_per_hour == reclaims_per_hour([stay(0.5)], OFFER, NOW_S)


def test_leases_tell_how_long_bids_held() -> None:
    leases = [
        rented("taken", reclaimed_s=NOW_S - 3600, gone_s=NOW_S),
        rented("returned", return_since_s=NOW_S - 1800, gone_s=NOW_S),
        rented("held"),
        rented("on demand", offer=offer()),
        rented("never rented", machine_id=None),
        rented("long ago", sent_s=NOW_S - 16 * DAY_S, reclaimed_s=NOW_S - 15 * DAY_S),
    ]

    assert [(one.hours, one.reclaimed) for one in stays_of(leases, NOW_S)] == [
        (1.0, True),
        (1.5, False),
        (2.0, False),
    ]


def test_nothing_is_lost_where_nothing_is_taken_away() -> None:
    assert hours_with_reclaims(10, bid(0), saved_h=0.25, again_h=0.2) == 10


def test_a_reclaim_loses_half_an_interval_and_another_start_as_long_as_it_is_rare() -> None:
    hours = hours_with_reclaims(10, bid(0.01), saved_h=0.5, again_h=0.25)

    assert hours - 10 == pytest.approx(0.01 * 10 * (0.5 / 2 + 0.25), rel=0.01)


def test_what_saves_nothing_loses_all_and_gets_a_number_at_any_rate() -> None:
    often = hours_with_reclaims(10, bid(1.0), saved_h=math.inf, again_h=0.1)
    never_done = hours_with_reclaims(1000, bid(9.0), saved_h=math.inf, again_h=0.1)

    assert often > 1000 * hours_with_reclaims(1, bid(1.0), saved_h=0.25, again_h=0.1)
    assert math.isfinite(never_done)


@pytest.mark.parametrize(("rate", "saved_h", "again_h"), [(0.5, 0.25, 0.1), (2.0, 0.5, 0.2)])
def test_the_expectation_is_what_a_drawn_market_gives(
    rate: float, saved_h: float, again_h: float
) -> None:
    """Runs are drawn: a life ends by chance, the next one begins anew at the last checkpoint."""
    draws = random.Random(7)
    work_h, runs = 5.0, 2000

    def a_run() -> float:
        took_h = done_h = 0.0
        begins_h = again_h
        while done_h < work_h:
            lives_h = draws.expovariate(rate)
            whole_h = begins_h + work_h - done_h
            if lives_h >= whole_h:
                return took_h + whole_h
            took_h += lives_h
            done_h += max(0.0, lives_h - begins_h) // saved_h * saved_h
        return took_h

    drawn_h = sum(a_run() for _ in range(runs)) / runs
    told_h = hours_with_reclaims(work_h, bid(rate), saved_h=saved_h, again_h=again_h)

    assert told_h == pytest.approx(drawn_h - again_h, rel=0.03)  # its first start is not counted


def test_a_person_is_told_what_a_bid_is() -> None:
    text = told_of_bid(replace(OFFER, bid=bid(1 / 6)), 900.0, saves=True)

    assert "the first offer is a bid of $0.200/h" in text and "once in 6.0 h" in text
    assert "at most 15 min of work is done again" in text
    own = told_of_bid(replace(OFFER, bid=bid(1 / 6)), 900.0, saves=False)
    assert "what it did not save is done again" in own
