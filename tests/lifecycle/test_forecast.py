from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.lifecycle.forecast import forecast_hours, forecast_usd, suggested_cap_usd
from orchestrator.lifecycle.plan import make_plan
from orchestrator.offers.offer import Bid, Offer
from orchestrator.sizing.fit import SETUP_S, Footprint
from orchestrator.spec.job import Job
from tests.lifecycle.clouds import GUARDED
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, offer

HOURLY = {"runpod": replace(GUARDED, billing_increment_s=3600)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return own_code(tmp_path_factory.mktemp("job"))


def test_where_whole_hours_are_billed_the_forecast_counts_them(job: Job) -> None:
    made, rented = material(job), offer()
    hour_usd = rented.price.usd_per_hour

    assert forecast_hours(made, rented, GUARDED) == (0.02, 1.0)
    assert forecast_usd(made, rented, HOURLY) == (hour_usd, hour_usd)
    assert forecast_usd(made, rented, {"runpod": GUARDED})[0] < hour_usd / 10


def test_a_suggested_cap_holds_the_whole_hours_of_forecast_and_reserve(job: Job) -> None:
    budget = job.budget.model_copy(update={"max_cost_usd": None})
    made, rented = material(job.model_copy(update={"budget": budget})), offer()
    hour_usd = rented.price.usd_per_hour

    plan = make_plan(made, [rented], HOURLY, now_s=NOW_S, failures=[])

    assert plan.suggested_usd == suggested_cap_usd(made, [rented], HOURLY)
    assert 0 < plan.worst_usd <= plan.suggested_usd
    assert plan.worst_usd % hour_usd == 0
    first = plan.candidates[0]
    assert first.work_s >= first.hours[1] * 3600 or not first.capped


SMALL = Footprint(
    parts=(),
    gpu_memory_gib=10.0,
    disk_gib=15,
    download_bytes=1 << 30,
    result_bytes=1 << 20,
    checkpoint_bytes=1 << 20,
    training_flops=1e13,
    steps=10,
)


def over_a_line(mbit_s: float) -> Offer:
    return replace(offer(), download_mbit_s=mbit_s)


def test_a_suggested_cap_grows_with_a_slow_line_up_to_what_max_duration_can_cost(job: Job) -> None:
    def suggested_usd(mbit_s: float, hours: float) -> Decimal:
        budget = job.budget.model_copy(update={"max_duration_s": hours * 3600})
        made = material(job.model_copy(update={"budget": budget}))
        made = replace(made, footprint=SMALL)
        return suggested_cap_usd(made, [over_a_line(mbit_s)], {"runpod": GUARDED})

    assert suggested_usd(9000.0, 24) < suggested_usd(30.0, 24) < suggested_usd(11.0, 24)
    assert suggested_usd(30.0, 0.5) == suggested_usd(11.0, 0.5), "both last for half an hour"


def test_what_a_lost_bid_begins_again_with_is_a_boot_over_its_line(job: Job) -> None:
    made = replace(material(job), footprint=SMALL)
    made = replace(made, launch=replace(made.launch, checkpoint_every_s=1.0))
    lasting = over_a_line(20.0)
    bid = replace(lasting, bid=Bid(Decimal("0.20"), reclaims_per_hour=0.2))

    longer = forecast_hours(made, bid, GUARDED)[1] / forecast_hours(made, lasting, GUARDED)[1]
    again_h = math.log(longer) / 0.2

    assert again_h * 3600 == pytest.approx(boot_deadline_s(lasting, GUARDED) + SETUP_S, rel=0.01)
