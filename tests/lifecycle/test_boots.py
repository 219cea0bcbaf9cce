from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.lifecycle.boots import (
    Boot,
    boots_of,
    expected_failures,
    risk_usd,
    told,
    unreliable_usd,
)
from orchestrator.offers.offer import Offer
from tests.lifecycle.clouds import GUARDED
from tests.runs.samples import NOW_S, lease, offer

DAY_S = 86_400.0
OFFER = offer()


def boot(*, failed: bool = True, days_ago: float = 0.0, region: str = "") -> Boot:
    return Boot("runpod", OFFER.id, region, NOW_S - days_ago * DAY_S, failed)


def in_region(region: str) -> Offer:
    return replace(OFFER, region=region)


def test_a_failure_fades_by_half_each_day() -> None:
    assert expected_failures([boot()], OFFER, NOW_S) == pytest.approx(1.0)
    assert expected_failures([boot(days_ago=1)], OFFER, NOW_S) == pytest.approx(0.5)


def test_what_worked_since_makes_a_failure_less_likely() -> None:
    assert expected_failures([boot(), boot(failed=False)], OFFER, NOW_S) == pytest.approx(0.5)


def test_another_offer_or_another_providers_is_not_blamed() -> None:
    other = replace(OFFER, provider="elsewhere")

    assert expected_failures([boot()], offer("other"), NOW_S) == 0
    assert expected_failures([boot()], other, NOW_S) == 0


def test_a_region_is_blamed_only_where_the_offer_may_be_in_it() -> None:
    failed = [boot(region="EU-RO-1")]

    assert expected_failures(failed, in_region("US-KS-2,US-TX-3"), NOW_S) == 0
    assert expected_failures(failed, in_region("US-KS-2,EU-RO-1"), NOW_S) == 1
    assert expected_failures(failed, in_region(""), NOW_S) == 1


def test_leases_tell_what_came_up_and_what_did_not() -> None:
    leases = [
        lease("failed", failed_boot_s=NOW_S, sent_s=NOW_S - 480, region="EU-RO-1"),
        lease("worked", did_work=True, sent_s=NOW_S),
        lease("never rented"),
        lease("cancelled in its boot", sent_s=NOW_S),
        lease("long ago", failed_boot_s=NOW_S - 15 * DAY_S, sent_s=NOW_S - 15 * DAY_S),
    ]

    assert boots_of(leases, NOW_S) == (
        Boot("runpod", OFFER.id, "EU-RO-1", NOW_S, failed=True),
        Boot("runpod", OFFER.id, "", NOW_S, failed=False),
    )


def test_the_risk_is_what_waiting_in_vain_costs() -> None:
    # Eight minutes of boot and three of return at $0.60/h.
    assert risk_usd(1.0, OFFER, GUARDED) == Decimal("0.110000")


def test_a_person_is_told_where_and_when() -> None:
    failed = [boot(days_ago=2), boot(days_ago=0.25, region="EU-RO-1")]

    assert told(failed, OFFER, Decimal("0.137"), NOW_S) == (
        "RTX 4090 x1 on runpod did not boot 2 times, the last time in EU-RO-1 6 h ago: it is "
        "ranked as $0.14 dearer"
    )


def test_a_host_that_is_often_down_is_dearer() -> None:
    assert unreliable_usd(OFFER, Decimal(2)) == 0
    assert unreliable_usd(replace(OFFER, reliability=0.9), Decimal(2)) == Decimal("0.10")
    assert unreliable_usd(replace(OFFER, reliability=1.0), Decimal(2)) == 0
