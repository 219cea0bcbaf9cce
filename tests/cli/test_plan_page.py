from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import OFFER, FakeApp, plan_view

Golden = Callable[[str, str], None]


def test_the_plan_reads_like_this(
    gpulease: Gpulease, app: FakeApp, job_file: str, golden: Golden
) -> None:
    golden("plan.txt", gpulease("plan", job_file).out)


def test_a_plan_without_offers_and_without_a_cap_reads_like_this(
    gpulease: Gpulease, app: FakeApp, job_file: str, golden: Golden
) -> None:
    app.plan_view = plan_view(offers=[], cap_usd=None, relaxation="an L4 at $0.43/h has 24 GiB")

    golden("plan-nothing-fits.txt", gpulease("plan", job_file).out)


def test_long_lists_are_cut_and_say_so(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    app.plan_view = plan_view(offers=[OFFER] * 20, refused=app.plan_view["refused"] * 10)

    text = gpulease("plan", job_file).out

    assert "and 12 more" in text and "and 4 more" in text


def test_an_offer_to_bid_for_says_what_is_bid_and_how_long_that_holds(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    bid = {**OFFER, "bid": {"usd_per_hour": "0.198", "reclaims_per_hour": 1 / 6}}
    app.plan_view = plan_view(offers=[bid, OFFER])

    text = gpulease("plan", job_file).out

    assert "$0.198 ~6h" in text
    app.plan_view = plan_view(offers=[OFFER])
    assert "holds" not in gpulease("plan", job_file).out
