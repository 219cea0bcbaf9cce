from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import Limits
from orchestrator.errors import NoCapacity, ProviderDown, RentedAnyway
from orchestrator.lifecycle.deadlines import MOST_REFUSALS
from orchestrator.lifecycle.steps.ask_again import pause_s
from orchestrator.runs.label import parse_label
from orchestrator.runs.run import Order
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.spec.resources import Need
from tests.lifecycle.jobs import own_code
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import NOW_S, RUN_ID, launch, lease, offer, run

WAIT_S = 3600.0
ORDER = Order(("runpod",), Need(allow_cpu=True), None)


@pytest.fixture
def stage(stage: Stage, tmp_path: Path) -> Stage:
    """A run that was submitted with `--wait 1h` while nothing was for rent."""
    stage.begin(
        job=own_code(tmp_path).to_document(),
        launch=replace(launch(), accept_unguarded=True),
        leases=(),
        candidates=(),
        cap_usd=Decimal(2),
        start_by_s=NOW_S + WAIT_S,
        asked_s=NOW_S,
        order=ORDER,
    )
    return stage


def asked(stage: Stage) -> int:
    return len(stage.cloud.said("offers"))


def test_nothing_is_asked_right_after_the_plan_asked(stage: Stage) -> None:
    stage.drive()

    assert asked(stage) == 0
    assert stage.run.waiting.endswith("asking again until 2027-01-15 09:00:00 UTC")


def test_as_long_as_nothing_fits_the_run_says_why_and_rents_nothing(stage: Stage) -> None:
    for _ in range(5):
        stage.after(31)

    assert asked(stage) == 5
    assert stage.state() is State.PLANNED
    assert stage.run.waiting.endswith("09:00:00 UTC (nothing is for rent now)")
    assert stage.cloud.said("create") == []


def test_what_comes_for_rent_is_rented_under_a_label_of_its_own(stage: Stage) -> None:
    stage.after(31)
    stage.cloud.shelf = [offer()]

    stage.after(31)
    assert stage.first.state is LeaseState.INTENDED
    assert stage.cloud.said("create") == []
    stage.drive(2)

    assert stage.state() is State.BOOTING
    assert stage.cloud.said("create") == [stage.first.label]
    label = parse_label(stage.first.label)
    assert label is not None and label.created_s == int(NOW_S + 62)


def test_the_longer_it_lasts_the_less_often_it_asks() -> None:
    pauses = [pause_s(run(), NOW_S + waited) for waited in (0.0, 60.0, 1200.0, 86_400.0)]

    assert pauses == [30.0, 30.0, 60.0, 300.0]


def test_a_card_that_the_catalog_shows_as_sold_out_is_not_tried(stage: Stage) -> None:
    stage.cloud.shelf = [replace(offer(), stock="none")]

    stage.after(31)

    assert stage.run.leases == ()
    assert stage.run.waiting.endswith("(nothing is for rent now)")


def test_an_offer_above_the_cap_is_waited_past(stage: Stage) -> None:
    stage.cloud.shelf = [offer("dear", usd_per_hour="300")]
    stage.after(31)

    assert stage.run.leases == ()
    assert "under the cap" in stage.run.waiting

    stage.cloud.shelf.append(offer("cheap", usd_per_hour="0.30"))
    stage.after(31)
    assert stage.first.offer.id == "cheap"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(burn_usd_per_hour=Decimal("0.5")), "an hour would burn"),
        (Limits(machines=0), "machines are open already"),
    ],
)
def test_a_limit_of_the_config_file_is_never_passed(
    stage: Stage, limits: Limits, said: str
) -> None:
    stage.limits = limits
    stage.restart()
    stage.cloud.shelf = [offer()]

    for _ in range(3):
        stage.after(31)

    assert stage.run.leases == ()
    assert said in stage.run.waiting
    assert stage.cloud.said("create") == []
    assert asked(stage) == 3


def test_a_refused_create_goes_back_to_waiting_and_a_limit_holds_for_every_offer(
    stage: Stage,
) -> None:
    stage.limits = Limits(burn_usd_per_hour=Decimal("0.7"))
    stage.restart()
    stage.cloud.shelf = [offer("cheap"), offer("dear", usd_per_hour="0.90")]
    stage.cloud.errors["create"] = [NoCapacity("sold out")]
    stage.after(31)
    stage.drive(2)

    assert [lease.state for lease in stage.run.leases] == [LeaseState.TOMBSTONE]
    assert stage.run.asked_s == stage.clock.now_s()
    assert "an hour would burn" in stage.run.waiting
    stage.after(31)
    stage.drive(2)
    assert stage.state() is State.BOOTING
    assert len(set(stage.cloud.said("create"))) == 2


def test_an_error_that_rented_anyway_returns_the_machine_while_it_waits(stage: Stage) -> None:
    stage.cloud.shelf = [offer()]
    stage.after(31)
    stage.drive()
    machine = stage.cloud.add(stage.first.label)
    stage.cloud.errors["create"] = [RentedAnyway("an error", machine_id=machine.id)]
    stage.cloud.shelf = []

    stage.drive(2)

    assert stage.state() is State.PLANNED
    assert stage.first.state is LeaseState.RETURNING
    assert stage.cloud.said("delete") == [machine.id]
    for _ in range(10):
        stage.after(31)
    assert [lease.state for lease in stage.run.leases] == [LeaseState.CLOSED]
    assert stage.state() is State.PLANNED


def test_a_provider_that_is_down_is_waited_for_and_named(stage: Stage) -> None:
    stage.cloud.errors["offers"] = [ProviderDown("RunPod does not answer")]

    stage.after(31)

    assert stage.run.waiting.endswith("(runpod: RunPod does not answer)")


def test_after_its_time_nothing_is_rented_however_long_the_computer_slept(stage: Stage) -> None:
    stage.cloud.shelf = [offer()]

    stage.clock.advance(8 * 3600, asleep=True)
    stage.drive(3)

    assert stage.state() is State.ENDED
    assert (stage.run.outcome, stage.cloud.said("create")) == (Outcome.NO_CAPACITY, [])
    assert stage.run.failure is not None
    assert stage.run.failure.problem == "in 1h nothing that fits could be rented"
    assert asked(stage) == 0


def test_a_lease_that_was_ready_when_the_computer_fell_asleep_rents_nothing(stage: Stage) -> None:
    stage.cloud.shelf = [offer()]
    stage.after(31)
    assert stage.first.state is LeaseState.INTENDED

    stage.clock.advance(8 * 3600, asleep=True)
    stage.drive(3)

    assert (stage.run.outcome, stage.cloud.said("create")) == (Outcome.NO_CAPACITY, [])


def test_a_wait_can_be_cancelled(stage: Stage) -> None:
    stage.after(31)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()

    assert stage.state() is State.ENDED
    assert stage.run.outcome is Outcome.CANCELLED


def test_a_clock_that_was_put_back_delays_no_question(stage: Stage) -> None:
    stage.after(31)
    stage.clock.advance(-1800)

    stage.drive()

    assert asked(stage) == 2


def test_hours_of_refusals_leave_a_short_record_and_no_label_twice(stage: Stage) -> None:
    stage.cloud.shelf = [offer("a"), offer("b")]
    stage.cloud.errors["create"] = [NoCapacity("sold out") for _ in range(200)]
    for _ in range(60):
        stage.clock.advance(31)
        stage.drive(6)

    labels = stage.cloud.said("create")
    assert len(labels) == len(set(labels)) > MOST_REFUSALS
    assert MOST_REFUSALS <= len(stage.run.leases) <= MOST_REFUSALS + 2
    assert stage.run.dropped == len(labels) - len(stage.run.leases)
    newest = parse_label(stage.run.leases[-1].label)
    assert newest is not None and newest.n == len(labels) - 1


def test_a_machine_that_did_not_boot_of_late_makes_its_offer_dearer_here_too(
    stage: Stage,
) -> None:
    failed = lease(key="other-0", run_id="other", offer=offer("cheap"), failed_boot_s=NOW_S - 60)
    failed = replace(failed, state=LeaseState.CLOSED, provider="runpod")
    other = run("other", state=State.ENDED, leases=(failed,))
    stage.journal.add(other, [], lambda _: None, 0.0)
    stage.cloud.shelf = [offer("cheap"), offer("sure", usd_per_hour="0.62")]

    stage.after(31)

    assert stage.first.offer.id == "sure"


def test_a_drilled_account_is_known_as_such_to_a_run_that_waited(stage: Stage) -> None:
    drill = lease(key="drill-0", run_id="drill", state=LeaseState.CLOSED, machine_id="m9")
    drill = replace(drill, gone_s=NOW_S, returned_by="machine", account=stage.cloud.account)
    made = run("drill", name="drill-runpod", state=State.ENDED, leases=(drill,))
    made = replace(made, outcome=Outcome.SUCCEEDED, launch=replace(launch(), drill=True))
    stage.journal.add(made, [], lambda _: None, 0.0)
    stage.cloud.shelf = [offer()]

    stage.after(31)

    assert [one.guard for one in stage.run.candidates] == ["drilled"]


def test_a_machine_that_is_to_be_kept_has_the_time_for_it_in_its_deadline(stage: Stage) -> None:
    keeps = replace(stage.run.launch, keep_s=1200.0)
    made = replace(stage.run, id="keeps", name="keeps", launch=keeps)
    stage.journal.add(made, [], lambda _: None, 0.0)
    stage.cloud.shelf = [offer()]

    stage.after(31)
    stage.engine.drive("keeps")

    plain, kept = stage.first, stage.journal.run("keeps").leases[0]
    assert kept.deadline_s - kept.stop_s == plain.deadline_s - plain.stop_s + 1200.0
