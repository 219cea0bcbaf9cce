from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.budget.caps import RETURN_S
from orchestrator.budget.price import Price
from orchestrator.errors import BudgetRefused, NoOffer
from orchestrator.lifecycle.plan import Known, Material, Plan, make_plan, to_wait
from orchestrator.lifecycle.reclaims import Stay
from orchestrator.offers.offer import Bid, Offer
from orchestrator.runs.run import Order
from orchestrator.sizing.fit import Footprint
from orchestrator.spec.job import Job
from tests.lifecycle.clouds import FREE, GUARDED
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, offer

CAPABILITIES = {"runpod": GUARDED, "local": FREE}
WITH_BIDS = {"runpod": replace(GUARDED, spot=True)}
WORK = Footprint(
    parts=(),
    gpu_memory_gib=10.0,
    disk_gib=15,
    download_bytes=1 << 30,
    result_bytes=1 << 28,
    checkpoint_bytes=1 << 28,
    training_flops=1e18,
    steps=1000,
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return own_code(tmp_path_factory.mktemp("job"))


def with_cap(job: Job, usd: str | None) -> Job:
    cap_usd = Decimal(usd) if usd is not None else None
    budget = job.budget.model_copy(update={"max_cost_usd": cap_usd})
    return job.model_copy(update={"budget": budget})


def plan(made: Material, *offers: Offer, failures: tuple[str, ...] = ()) -> Plan:
    return make_plan(made, list(offers), CAPABILITIES, now_s=NOW_S, failures=list(failures))


def ids(made: Plan) -> list[str]:
    return [one.offer.id for one in made.candidates]


def test_an_offer_that_its_account_cannot_pay_is_refused(job: Job) -> None:
    made = make_plan(
        material(with_cap(job, "5")),
        [offer("dear", usd_per_hour="4"), offer("cheap")],
        CAPABILITIES,
        now_s=NOW_S,
        failures=[],
        known=Known(balances={"runpod": Decimal("2.00")}),
    )

    assert ids(made) == ["cheap"]
    assert "the runpod account holds $2.00, and the worst case here is $" in made.refused[0][1]


def test_an_account_that_must_hold_an_hour_of_a_machine_is_not_asked_for_it(job: Job) -> None:
    facts = {"runpod": replace(CAPABILITIES["runpod"], balance_hours=1.0)}

    made = make_plan(
        material(with_cap(job, "0.40")),
        [offer("dear", usd_per_hour="0.60"), offer("cheap", usd_per_hour="0.45")],
        facts,
        now_s=NOW_S,
        failures=[],
        known=Known(balances={"runpod": Decimal("0.50")}),
    )

    assert ids(made) == ["cheap"]
    assert "holds $0.50, and must hold $0.60 for this machine" in made.refused[0][1]


@pytest.mark.parametrize(("usd", "said"), [("2.00", 0), (None, 1)])
def test_a_balance_that_cannot_be_read_where_it_is_told_as_a_rule_is_said(
    job: Job, usd: str | None, said: int
) -> None:
    known = Known(balances={"runpod": Decimal(usd)} if usd else {})
    facts = {"runpod": replace(CAPABILITIES["runpod"], tells_balance=True)}

    made = make_plan(
        material(with_cap(job, "1")), [offer()], facts, now_s=NOW_S, failures=[], known=known
    )

    told = [one for one in made.warnings if "balance of the runpod account cannot be read" in one]
    assert len(told) == said


def test_an_account_that_can_pay_no_offer_refuses_the_plan(job: Job) -> None:
    with pytest.raises(BudgetRefused, match="no account can carry this plan") as caught:
        make_plan(
            material(with_cap(job, "5")),
            [offer()],
            CAPABILITIES,
            now_s=NOW_S,
            failures=[],
            known=Known(balances={"runpod": Decimal("0.10")}),
        )

    assert caught.value.hint.startswith("add credit")


def test_a_dearer_card_that_is_faster_enough_goes_first(job: Job) -> None:
    slow = replace(offer("slow", usd_per_hour="0.50"), gpu="RTX A5000")
    fast = replace(offer("fast", usd_per_hour="0.60"), gpu="RTX 4090")

    made = plan(replace(material(job), footprint=WORK), slow, fast)

    assert ids(made) == ["fast", "slow"]
    assert made.candidates[0].cost_usd[1] < made.candidates[1].cost_usd[1]


def lasting(job: Job, hours: float) -> Job:
    budget = job.budget.model_copy(update={"max_duration_s": hours * 3600})
    return job.model_copy(update={"budget": budget})


@pytest.mark.parametrize("footprint", [WORK, None])
def test_a_slow_line_costs_what_its_downloads_take(job: Job, footprint: Footprint | None) -> None:
    slow = replace(offer("slow", usd_per_hour="0.49"), download_mbit_s=20.0)
    quick = replace(offer("quick", usd_per_hour="0.50"), download_mbit_s=9000.0)

    made = plan(replace(material(lasting(job, 24)), footprint=footprint), slow, quick)

    assert ids(made) == ["quick", "slow"]
    quick_h, slow_h = (one.hours[1] for one in made.candidates)
    assert 0.3 < slow_h - quick_h < 1.5, "25 GiB at 20 Mbit/s take 3 h, a boot 40 min at most"


def test_what_a_set_up_downloads_takes_longer_over_a_slower_line(job: Job) -> None:
    slow = replace(offer("slow"), download_mbit_s=20.0)
    slower = replace(offer("slower"), download_mbit_s=10.5)  # both boot until their deadline

    uncapped = lasting(with_cap(job, None), 24)
    made = plan(replace(material(uncapped), footprint=WORK), slow, slower)

    assert ids(made) == ["slow", "slower"]
    assert made.candidates[1].hours[1] - made.candidates[0].hours[1] > 0.4


def test_a_line_that_cannot_bring_the_model_in_the_time_of_a_set_up_is_refused(job: Job) -> None:
    large = replace(material(job), footprint=replace(WORK, download_bytes=16 * 10**9))
    slow, dead = (replace(offer(f"{x}"), download_mbit_s=x) for x in (20.0, 1e-320))

    made = plan(large, slow, dead, offer("quick"))

    assert ids(made) == ["quick"]
    said = {one.id: why for one, why in made.refused}
    assert "its line of 20 Mbit/s takes 2.2 h for model and environment" in said["20.0"]
    assert "of 1 Mbit/s" in said["1e-320"]
    assert not plan(large, slow).candidates


def test_a_line_of_zero_is_one_that_nobody_measured(job: Job) -> None:
    known = replace(material(job), footprint=WORK)

    (odd,) = plan(known, replace(offer(), download_mbit_s=0.0)).candidates

    assert odd.hours == plan(known, offer()).candidates[0].hours


def test_a_host_that_is_often_down_costs_what_is_lost_with_it(job: Job) -> None:
    shaky = replace(offer("shaky", usd_per_hour="0.49"), reliability=0.90)
    steady = replace(offer("steady", usd_per_hour="0.50"), reliability=0.999)

    assert ids(plan(replace(material(job), footprint=WORK), shaky, steady)) == ["steady", "shaky"]


def test_a_machine_that_costs_nothing_goes_first(job: Job) -> None:
    here = replace(offer("here", usd_per_hour="0"), provider="local")

    made = plan(material(job), offer("rented"), here)

    assert ids(made) == ["here", "rented"]
    assert made.worst_usd == 0 and made.suggested_usd == 0
    assert made.guards[0].startswith("a computer of your own costs nothing")


def test_a_cap_that_pays_for_no_offer_is_refused_with_one_that_does(job: Job) -> None:
    with pytest.raises(BudgetRefused, match="no offer fits under the cap") as caught:
        plan(material(with_cap(job, "0.05")), offer())

    suggested = caught.value.hint.split("$")[1].split()[0]
    assert ids(plan(material(with_cap(job, suggested)), offer())) == ["RTX 4090 x1"]


def test_an_offer_over_the_cap_is_refused_and_the_others_stay(job: Job) -> None:
    made = plan(material(with_cap(job, "1.00")), offer("cheap"), offer("dear", usd_per_hour="60"))

    assert ids(made) == ["cheap"]
    assert [(one.id, "does not pay" in why) for one, why in made.refused] == [("dear", True)]


def test_a_cap_below_the_low_end_of_the_forecast_is_refused(job: Job) -> None:
    long = replace(WORK, training_flops=1e22)

    with pytest.raises(BudgetRefused, match="low end of the forecast"):
        plan(replace(material(with_cap(job, "0.80")), footprint=long), offer())


def test_without_a_fitting_offer_the_cheapest_relaxation_is_told(job: Job) -> None:
    made = plan(
        material(job),
        replace(offer("untrusted", usd_per_hour="0.30"), trust="any"),
        replace(offer("small", usd_per_hour="0.40"), gpu_memory_gib=4),
    )

    assert made.candidates == ()
    assert [one.id for one, _ in made.refused] == ["untrusted", "small"]
    assert made.relaxation == "`trust: any` would allow RTX 4090 on runpod at $0.30/h"


def test_a_forecast_beyond_max_duration_is_told(job: Job) -> None:
    budget = job.budget.model_copy(update={"max_duration_s": 3600.0})
    hour = job.model_copy(update={"budget": budget})
    huge = replace(WORK, training_flops=1e22)

    made = plan(replace(material(with_cap(hour, "500")), footprint=huge), offer())

    (warning,) = made.warnings
    assert warning.startswith("even the low end of the forecast")
    assert "budget.max_duration (1 h)" in warning


def test_without_any_offer_the_providers_that_failed_are_told(job: Job) -> None:
    with pytest.raises(NoOffer, match="runpod: no answer"):
        plan(material(job), failures=("runpod: no answer",))


def test_a_provider_that_failed_is_a_warning_beside_the_others(job: Job) -> None:
    made = plan(material(job, warnings=("of the data",)), offer(), failures=("vast: no answer",))

    assert made.warnings == ("of the data", "vast: no answer")


def test_the_plan_tells_which_guards_hold_and_what_waiting_costs(job: Job) -> None:
    guarded = plan(material(job), offer())

    assert any("machine: ends itself after" in sentence for sentence in guarded.guards)
    assert any("results wait 30 min ($0.30)" in sentence for sentence in guarded.guards)
    assert guarded.start_by_s == NOW_S + 900


def test_the_plan_tells_what_a_machine_gets_to_write_to_a_bucket(job: Job) -> None:
    made = material(job)
    made = replace(made, launch=replace(made.launch, bucket="s3://results/team"))

    guards = plan(made, offer()).guards

    assert any("no AWS key, but signed URLs" in sentence for sentence in guards)
    assert any("where the bucket refuses, 30 min ($0.30)" in sentence for sentence in guards)
    assert not any("results wait" in sentence for sentence in guards)


@given(
    cap_cents=st.integers(1, 5000),
    rate_cents=st.integers(1, 500),
    hold_s=st.sampled_from([0.0, 300.0, 7200.0]),
)
def test_the_worst_case_is_never_above_the_cap(
    job: Job, cap_cents: int, rate_cents: int, hold_s: float
) -> None:
    cap_usd = Decimal(cap_cents) / 100
    made = material(with_cap(job, str(cap_usd)))
    made = replace(made, launch=replace(made.launch, hold_s=hold_s))
    rented = replace(offer(), price=Price(Decimal(rate_cents) / 100))

    try:
        fitted = plan(made, rented)
    except BudgetRefused:
        return

    assert 0 < fitted.worst_usd <= cap_usd
    first = fitted.candidates[0]
    assert rented.price.for_seconds(first.deadline_s) <= cap_usd
    assert fitted.reserve_usd <= fitted.worst_usd


def test_without_a_cap_the_suggested_one_holds_the_worst_case(job: Job) -> None:
    made = plan(material(with_cap(job, None)), offer())

    assert made.cap_usd is None
    assert 0 < made.worst_usd <= made.suggested_usd


def test_with_a_wait_no_offer_at_all_is_a_plan(job: Job) -> None:
    made = make_plan(material(job), [], {}, now_s=NOW_S, failures=[], may_wait=True)

    waiting = to_wait(made, ["runpod", "local"], 7200.0)

    assert waiting.order == Order(("runpod", "local"), made.material.need, None)
    assert waiting.start_by_s == NOW_S + 7200
    assert (waiting.worst_usd, waiting.candidates) == (job.budget.max_cost_usd, ())


def test_a_wait_is_never_shorter_than_a_plan_is_good(job: Job) -> None:
    made = plan(material(job), offer())

    assert to_wait(made, ["runpod"], 60.0).start_by_s == made.start_by_s
    assert to_wait(made, ["runpod"], 60.0).candidates == made.candidates


def test_without_cap_and_offer_nobody_can_agree_to_wait(job: Job) -> None:
    made = make_plan(material(with_cap(job, None)), [], {}, now_s=NOW_S, failures=[], may_wait=True)

    with pytest.raises(BudgetRefused, match="nothing fits now") as refused:
        to_wait(made, ["runpod"], 3600.0)
    assert "--max-cost" in refused.value.hint


def to_bid_for(name: str, usd_per_hour: str) -> Offer:
    return replace(offer(name, usd_per_hour=usd_per_hour), bid=Bid(Decimal(usd_per_hour)))


def spot_plan(job: Job, *stays: Stay, work: Footprint | None = WORK) -> Plan:
    wants = with_cap(job, "20").model_copy(update={"spot": True})
    made = replace(material(wants), footprint=work)
    return make_plan(
        made,
        [offer("lasting", usd_per_hour="0.60"), to_bid_for("bid", "0.40")],
        WITH_BIDS,
        now_s=NOW_S,
        failures=[],
        known=Known(stays=stays),
    )


def taken(hours: float) -> Stay:
    return Stay("runpod", "RTX 4090", hours, NOW_S, reclaimed=True)


def test_a_bid_is_first_where_it_is_expected_to_cost_less_with_what_is_lost(job: Job) -> None:
    made = spot_plan(job)

    assert ids(made) == ["bid", "lasting"]
    bid, lasting = made.candidates
    assert bid.hours[0] == lasting.hours[0]
    assert bid.hours[1] > lasting.hours[1]
    assert bid.cost_usd[1] < lasting.cost_usd[1]
    assert any("goes to whoever bids more" in warning for warning in made.warnings)
    assert any(sentence.startswith("bid: where it is lost") for sentence in made.guards)


def test_bids_that_were_lost_again_and_again_are_expected_to_cost_more_than_what_lasts(
    job: Job,
) -> None:
    assert ids(spot_plan(job, *[taken(0.1)] * 2))[0] == "bid"
    assert ids(spot_plan(job, *[taken(0.1)] * 8))[0] == "lasting"


def test_a_bid_is_not_first_where_nothing_that_it_loses_is_saved_and_it_is_lost_often(
    job: Job,
) -> None:
    assert ids(spot_plan(job, taken(0.1), taken(0.1), work=None))[0] == "lasting"


def test_the_worst_case_of_a_bid_is_what_is_bid_for_as_long_as_it_may_be_had(job: Job) -> None:
    made = spot_plan(job)

    first = made.candidates[0]
    worst_usd = first.offer.price.for_seconds(first.deadline_s + RETURN_S)
    assert made.worst_usd == worst_usd + made.material.launch.traffic.planned_usd(first.offer.price)


def test_a_suggested_cap_carries_what_a_run_ends_on_whose_bids_are_lost(job: Job) -> None:
    wants = with_cap(job, None).model_copy(update={"spot": True})
    made = replace(material(wants), footprint=WORK)
    bids = [to_bid_for(f"bid {number}", "0.10") for number in range(4)]

    alone = plan(made, offer("lasting", usd_per_hour="0.60"))
    beside = plan(made, *bids, offer("lasting", usd_per_hour="0.60"))

    assert ids(beside)[:4] == [one.id for one in bids]
    assert beside.suggested_usd == alone.suggested_usd


def test_a_job_that_does_not_say_spot_is_offered_no_bid(job: Job) -> None:
    made = plan(material(with_cap(job, "5")), offer("lasting"), to_bid_for("bid", "0.10"))

    assert ids(made) == ["lasting"]
    assert made.refused[0][1] == "it may be taken away for a higher bid"


def test_a_job_that_says_spot_where_nobody_takes_bids_is_told_so(job: Job) -> None:
    wants = material(with_cap(job, "5").model_copy(update={"spot": True}))

    assert any("changes nothing" in text for text in plan(wants, offer("lasting")).warnings)
