from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.price import Price
from orchestrator.clock import to_iso
from orchestrator.lifecycle.plan import make_plan
from orchestrator.lifecycle.reaper import classify
from orchestrator.lifecycle.sending import Part
from orchestrator.lifecycle.views import (
    exit_code,
    phases,
    to_machine_view,
    to_offer_view,
    to_plan_view,
    to_run_view,
)
from orchestrator.offers.offer import Bid
from orchestrator.runs.label import Label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.runs.view import MachineView, OfferView, PlanView, RunView
from tests.lifecycle.clouds import GUARDED, machine
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, RUN_ID, lease, offer, run

GONE = lease(
    "label-0",
    state=LeaseState.CLOSED,
    machine_id="m0",
    sent_s=NOW_S,
    gone_s=NOW_S + 3600,
    returned_by="provider",
)


def another(**changes: object) -> Lease:
    return lease("label-1", machine_id="m1", sent_s=NOW_S, **changes)


def ended(**changes: object) -> Run:
    given = {"state": State.ENDED, "outcome": Outcome.SUCCEEDED, "leases": (GONE,), **changes}
    return run(**given)  # type: ignore[arg-type]


def view(made: Run) -> RunView:
    return to_run_view(made, NOW_S + 7200, log_path="log.txt", artifacts_dir="artifacts")


def failure(code: int) -> Failure:
    return Failure("a_code", "a problem", exit_code=code)


@pytest.mark.parametrize("made", [run(), run(leases=(lease(),)), ended()])
def test_a_run_has_every_key_of_the_published_shape_and_is_json(made: Run) -> None:
    shown = view(made)

    assert set(shown) == set(RunView.__annotations__)
    assert json.loads(json.dumps(shown)) == shown


# Not every provider tells, and not every offer is to bid for.
OF_SOME = {"bid", "traffic_usd_per_gib", "reliability", "download_mbit_s"}


def test_a_plan_has_every_key_of_the_published_shape(tmp_path: Path) -> None:
    refused = offer("dear", usd_per_hour="60")
    made = make_plan(
        material(own_code(tmp_path)),
        [offer(), refused],
        {"runpod": GUARDED},
        now_s=NOW_S,
        failures=[],
    )

    shown = to_plan_view(made, ["home: here"], [Part("src/", 2, 30)])

    assert shown["sends"] == [{"path": "src/", "files": 2, "size_bytes": 30}]

    assert set(shown) == set(PlanView.__annotations__)
    assert [one["id"] for one in shown["offers"]] == ["RTX 4090 x1"]
    assert [one["usd_per_hour"] for one in shown["refused"]] == ["60.00"]
    assert Decimal(shown["worst_usd"]) <= Decimal(shown["cap_usd"] or "0")
    assert set(shown["offers"][0]) == set(OfferView.__annotations__) - OF_SOME
    assert shown["offers"][0]["guard"] == "plausible"


def test_an_offer_to_bid_for_says_what_is_bid_and_how_often_that_is_lost() -> None:
    bid = replace(offer(), bid=Bid(Decimal("0.2"), 1 / 6))

    assert to_offer_view(bid)["bid"] == {"usd_per_hour": "0.20", "reclaims_per_hour": 0.1667}


def test_a_machine_that_was_taken_away_says_when_and_what_it_had_cost() -> None:
    bid = replace(offer(usd_per_hour="0.25"), bid=Bid(Decimal("0.2")))
    taken = replace(GONE, offer=bid, began_s=NOW_S, reclaimed_s=NOW_S + 1800)
    made = run(leases=(taken,))

    (machine,) = to_run_view(made, NOW_S + 7200, log_path="", artifacts_dir="")["machines"]

    assert (machine["spot"], machine["reclaimed_at"]) == (True, to_iso(NOW_S + 1800))
    assert machine["cost_usd"] == "0.125"


def test_an_offer_without_a_plan_has_no_forecast() -> None:
    assert "forecast" not in to_offer_view(offer())


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (ended(), 0),
        (ended(outcome=Outcome.FAILED, failure=failure(1)), 1),
        (ended(outcome=Outcome.FAILED, failure=failure(8)), 8),
        (ended(outcome=Outcome.CANCELLED), 9),
        (ended(outcome=Outcome.CAPPED), 5),
        (ended(outcome=Outcome.NO_CAPACITY, failure=failure(3)), 3),
        (ended(outcome=Outcome.UNREACHABLE), 6),
        (ended(artifacts_missing=("model",)), 8),
        (ended(outcome=Outcome.CANCELLED, artifacts_missing=("model",)), 8),
        (ended(outcome=Outcome.REFUSED, failure=failure(4)), 4),
        (ended(leases=(another(state=LeaseState.CLOSED, returned_by="user"),)), 7),
        (
            ended(
                outcome=Outcome.CANCELLED,
                artifacts_missing=("model",),
                leases=(another(state=LeaseState.RETURNING),),
            ),
            7,
        ),
    ],
)
def test_the_worst_that_happened_gives_the_exit_code(made: Run, code: int) -> None:
    assert exit_code(made) == code


def test_an_open_run_has_no_exit_code() -> None:
    assert exit_code(run()) is None
    assert exit_code(run(state=State.RETURNING, outcome=Outcome.FAILED)) is None


@pytest.mark.parametrize(
    ("second", "proven"),
    [
        (another(state=LeaseState.CLOSED, gone_s=NOW_S + 60, returned_by="machine"), True),
        (another(state=LeaseState.CLOSED, gone_s=NOW_S + 60, returned_by="user"), False),
        (another(state=LeaseState.RETURNING), False),
        (another(state=LeaseState.HELD), False),
        (lease("label-1", state=LeaseState.INTENDED), False),
        (lease("label-1", state=LeaseState.TOMBSTONE), True),
    ],
)
def test_a_return_is_proven_only_when_that_of_every_machine_is(second: Lease, proven: bool) -> None:
    shown = view(ended(leases=(GONE, second)))["returned"]

    assert shown["proven"] is proven


def test_the_return_is_that_of_the_last_machine_and_unknown_until_then() -> None:
    later = another(state=LeaseState.CLOSED, gone_s=NOW_S + 7200, returned_by="provider")

    both = view(ended(leases=(GONE, later)))["returned"]
    half = view(ended(leases=(GONE, another(state=LeaseState.RETURNING))))["returned"]

    assert both["at"] == "2027-01-15T10:00:00Z"
    assert half["at"] is None


def test_a_label_under_which_nothing_was_rented_is_not_shown_as_a_machine() -> None:
    shown = view(ended(leases=(lease("tomb", state=LeaseState.TOMBSTONE), GONE)))

    assert [one["id"] for one in shown["machines"]] == ["m0"]


def test_the_running_phase_counts_until_now() -> None:
    made = run(state=State.RUNNING, phases_s={"boot": 20.0, "job": 5.0}, state_since_s=NOW_S)

    assert phases(made, NOW_S + 60) == {"boot": 20.0, "job": 65.0}
    assert phases(made, NOW_S - 60) == {"boot": 20.0, "job": 5.0}


def test_progress_shows_steps_as_whole_numbers_and_only_what_is_known() -> None:
    made = run(
        progress={"step": 3.0, "loss": 0.5, "strange": 1.0}, progress_metrics={"accuracy": 0.9}
    )

    assert view(made)["progress"] == {"step": 3, "loss": 0.5, "metrics": {"accuracy": 0.9}}
    assert view(made)["metrics"] == {"accuracy": 0.9}


def test_a_failure_is_shown_with_its_hint() -> None:
    made = ended(outcome=Outcome.FAILED, failure=Failure("job_failed", "it ended with 2", "logs"))

    assert view(made)["error"] == {
        "code": "job_failed",
        "problem": "it ended with 2",
        "hint": "logs",
    }


def test_a_machine_shows_whose_it_is_and_what_it_burns() -> None:
    text = str(Label("homeid", RUN_ID, 0, int(NOW_S), int(NOW_S) + 3600))
    found = classify("runpod", machine(label=text), [], "homeid")

    shown = to_machine_view(found, NOW_S + 3600 + 901)

    assert set(shown) == set(MachineView.__annotations__)
    assert (shown["whose"], shown["run"], shown["usd_per_hour"]) == ("orphan", RUN_ID, "0.60")
    assert (shown["age_hours"], shown["note"]) == (1.25, "past its deadline")
    ageless = replace(machine(), created_at_s=0.0)
    assert to_machine_view(classify("runpod", ageless, [], "homeid"), NOW_S)["age_hours"] is None
    stranger = to_machine_view(classify("runpod", machine(), [], "homeid"), NOW_S)
    assert (stranger["whose"], stranger["run"], stranger["deadline"]) == ("foreign", None, None)


def test_an_offer_says_what_its_host_charges_and_how_it_is_as_far_as_it_is_known() -> None:
    price = Price(Decimal("0.60"), Decimal("0.02"), Decimal("0.01"))
    told = to_offer_view(replace(offer(), price=price, reliability=0.99, download_mbit_s=910.0))
    plain = to_offer_view(offer())

    assert told["traffic_usd_per_gib"] == {"download": "0.01", "upload": "0.02"}
    assert (told["reliability"], told["download_mbit_s"]) == (0.99, 910.0)
    assert not {"traffic_usd_per_gib", "reliability", "download_mbit_s"} & set(plain)
