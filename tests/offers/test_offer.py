from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.offers.offer import Bid
from tests.runs.samples import offer


def test_what_is_bid_for_may_be_taken_away_and_nothing_else() -> None:
    assert not offer().spot
    assert replace(offer(), bid=Bid(Decimal("0.20"))).spot
