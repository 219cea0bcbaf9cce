from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.lifecycle.forecast import forecast_hours, forecast_usd, suggested_cap_usd
from orchestrator.lifecycle.plan import make_plan
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
