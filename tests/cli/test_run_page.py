from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.cli.run_page import not_returned_text, plain_status, progress_text
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import LABEL, FakeApp, open_view, run_view

Golden = Callable[[str, str], None]


def test_the_receipt_reads_like_this(gpulease: Gpulease, golden: Golden) -> None:
    golden("receipt.txt", gpulease("receipt", "last").out)


def test_the_receipt_of_a_failure_names_what_is_missing_and_what_may_bill(
    gpulease: Gpulease, app: FakeApp, golden: Golden
) -> None:
    machine = {**run_view()["machines"][0], "returned": {"proven": False, "at": None}}
    app.last = run_view(
        outcome="failed",
        exit_code=7,
        machines=[machine],
        returned={"proven": False, "at": None},
        metrics={"loss": 0.5, "note": "\x1b[31mred"},
        artifacts=[],
        artifacts_missing=["model/model.safetensors: 86.7 MiB were not fetched in time"],
        error={"code": "job", "problem": "exit code 3", "hint": "gpulease logs runid123"},
        notes=["this computer was asleep for 8h00m"],
        device="cuda",
        cost_usd="0.31",
    )

    golden("receipt-failed.txt", gpulease("receipt", "last").out)


def test_show_of_an_open_run_reads_like_this(
    gpulease: Gpulease, app: FakeApp, golden: Golden
) -> None:
    app.last = open_view("running")

    golden("show-open.txt", gpulease("show", "last").out)


def test_the_commonest_class_stands_beside_the_accuracy_alone(
    gpulease: Gpulease, app: FakeApp
) -> None:
    text = gpulease("receipt", "last").out

    assert "eval_accuracy  0.9712  (always the commonest class: 0.25)" in text
    assert text.count("0.25)") == 1


@pytest.mark.parametrize(
    ("cost", "place"), [("0.01", "below"), ("0.15", "inside"), ("0.22", "above")]
)
def test_the_forecast_is_scored(gpulease: Gpulease, app: FakeApp, cost: str, place: str) -> None:
    app.last = run_view(cost_usd=cost)

    assert f"{place} the forecast" in gpulease("receipt", "last").out


def test_progress_says_what_the_program_says_and_no_more() -> None:
    full = {
        "step": 40.0,
        "steps": 300.0,
        "loss": 0.71234,
        "learning_rate": 5e-5,
        "samples_per_s": 152.04,
        "eta_s": 75.0,
    }

    assert progress_text(open_view(progress=full)) == (
        "step 40/300  loss 0.7123  lr 5e-05  152 samples/s  1m15s left"
    )
    assert progress_text(open_view(progress={"step": 7})) == "step 7"
    assert progress_text(open_view(progress={})) == ""


def test_the_plain_line_has_state_reason_and_money() -> None:
    view = open_view("booting", progress={}, waiting="no sshd yet")

    assert plain_status(view) == "tickets: booting, no sshd yet, $0.131 of $2.00"


def test_the_shout_names_the_machine_its_label_and_its_price() -> None:
    text = not_returned_text(open_view("returning"))

    assert f"runpod pod-1 ({LABEL}), $0.69/h" in text


def test_where_results_go_is_shown_while_they_go_and_where_they_lie_afterwards(
    gpulease: Gpulease, app: FakeApp
) -> None:
    there = "s3://results/team/mine-runid123"
    app.last = open_view("running", artifacts_at=there)
    assert f"results   to {there}" in gpulease("show", "last").out

    app.last = run_view(artifacts_at=there)
    assert f"in {there}; gpulease pull" in gpulease("receipt", "last").out
    assert "each verified, in" in gpulease("pull", "last").out


def test_a_receipt_says_how_often_a_machine_was_taken_away_and_what_those_cost(
    gpulease: Gpulease, app: FakeApp
) -> None:
    last = run_view()["machines"][0]
    taken = {**last, "spot": True, "reclaimed_at": "2027-01-15T08:05:00Z", "cost_usd": "0.0412"}
    app.last = run_view(machines=[taken, {**taken, "cost_usd": "0.03"}, last])

    text = gpulease("receipt", "last").out

    assert "reclaims  2 times; $0.0712 went to machines that were taken away" in text
    app.last = run_view(machines=[last])
    assert "reclaims" not in gpulease("receipt", "last").out
