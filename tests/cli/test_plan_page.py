from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.runs.view import OfferView
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


HOST: OfferView = {
    **OFFER,
    "provider": "vast",
    "region": "US-California",
    "trust": "verified",
    "stock": "",
    "reliability": 0.9923,
    "download_mbit_s": 853.2,
}


def test_a_hosts_line_and_uptime_are_told_where_they_are_known(
    gpulease: Gpulease, app: FakeApp, job_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    app.plan_view = plan_view(offers=[HOST, OFFER])

    text = gpulease("plan", job_file).out

    names, host, other = text.split("is tried first\n")[1].splitlines()[:3]
    assert names.split()[-5:] == ["region", "trust", "stock", "Mbit/s", "uptime"]
    assert host.split()[-6:] == ["US-California", "verified", "-", "853", "99.2", "%"]
    assert other.split()[-5:] == ["EU-RO-1", "secure", "high", "-", "-"]
    app.plan_view = plan_view(offers=[OFFER])
    assert "uptime" not in gpulease("plan", job_file).out


def test_on_eighty_columns_what_is_known_of_a_host_is_one_column(
    gpulease: Gpulease, app: FakeApp, job_file: str, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    app.plan_view = plan_view(offers=[HOST, OFFER])

    text = gpulease("plan", job_file).out

    assert max(map(len, text.splitlines())) <= 80
    golden("plan-80-columns.txt", text.split("\n\n")[1] + "\n")


def test_live_offers_of_hosts_fit_eighty_columns(
    gpulease: Gpulease, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    live: OfferView = {**HOST}
    del live["forecast"]
    app.plan_view = plan_view(offers=[live])

    names, row = gpulease("offers").out.splitlines()

    assert names.split()[-3:] == ["trust", "Mbit/s", "uptime"]
    assert row.split()[-3:] == ["853", "99.2", "%"]
