"""A machine that was bid for is taken away: the job goes on at whatever is the best offer then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.price import Price
from orchestrator.errors import Unreachable
from orchestrator.lifecycle.deadlines import MAX_CREATED
from orchestrator.offers.offer import Bid, Offer
from orchestrator.providers.base import MachineStatus
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Order, Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.spec.resources import Need
from tests.lifecycle.jobs import own_code
from tests.lifecycle.steps.harness import Stage, listed
from tests.runs.samples import NOW_S, candidate, launch, lease, offer

HOUR_S = 3600.0
LASTING = offer("lasting", usd_per_hour="0.60")


def to_bid_for(name: str, usd_per_hour: str = "0.40") -> Offer:
    price = Price(Decimal(usd_per_hour), disk_usd_per_hour=Decimal("0.01"))
    return replace(offer(name), price=price, bid=Bid(Decimal(usd_per_hour) - Decimal("0.01")))


FIRST = to_bid_for("first")


def working(
    stage: Stage,
    folder: Path,
    held: Mapping[str, object] | None = None,
    *,
    before: tuple[Lease, ...] = (),
    run: Mapping[str, object] | None = None,
) -> None:
    """A job that works on a machine that was bid for, `before` which it had others."""
    stage.cloud.usd_per_hour = FIRST.price.usd_per_hour
    machine = stage.cloud.add("label-0")
    made = replace(
        lease(),
        **{  # type: ignore[arg-type]
            "state": LeaseState.HELD,
            "machine_id": machine.id,
            "offer": FIRST,
            "usd_per_hour": machine.usd_per_hour,
            "sent_s": NOW_S,
            "began_s": NOW_S,
            "stop_s": NOW_S + 10 * HOUR_S,
            "deadline_s": NOW_S + 11 * HOUR_S,
            "did_work": True,
            "host_key_by": "boot log",
            **(held or {}),
        },
    )
    stage.begin(
        **{
            "state": State.RUNNING,
            "leases": (*before, made),
            "heard_s": NOW_S,
            "job": own_code(folder, "spot: true\n").to_document(),
            "launch": replace(launch(), accept_unguarded=True),
            "candidates": (candidate(FIRST), candidate(LASTING)),
            "max_duration_s": 10 * HOUR_S,
            "order": Order(("runpod",), Need(allow_cpu=True, spot=True), None),
            **(run or {}),
        },
    )


def takes_away(stage: Stage, machine_id: str = "m1") -> None:
    """Somebody bids more: the machine stops, and stays there."""
    stopped = replace(stage.cloud.machines[machine_id], status=MachineStatus.STOPPED)
    stage.cloud.machines[machine_id] = stopped
    stage.box.fault = Unreachable("no route")


def saves(stage: Stage, step: int) -> None:
    folder = stage.home / f"checkpoints/step-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    document = {"step": step, "files": [listed("weights", b"weights")]}
    (folder / "complete.json").write_text(json.dumps(document))


def reclaimed(
    stage: Stage,
    folder: Path,
    *,
    cap_usd: Decimal = Decimal(5),
    max_duration_s: float = 10 * HOUR_S,
) -> Run:
    """The run when its driver has seen that its machine was taken away, an hour after the rent."""
    heard_s = NOW_S + HOUR_S
    told = {"heard_s": heard_s, "checkpoint_pulled_s": heard_s - 360}
    limits = {"cap_usd": cap_usd, "max_duration_s": max_duration_s}
    working(stage, folder, run={**told, **limits})
    stage.clock.advance(HOUR_S)
    takes_away(stage)
    stage.drive()
    stage.box.fault = None
    return stage.run


def test_the_stopped_machine_is_returned_at_once_and_the_run_says_what_it_had_cost(
    stage: Stage, tmp_path: Path
) -> None:
    saves(stage, 40)

    run = reclaimed(stage, tmp_path)

    assert (run.state, run.outcome) == (State.PLANNED, None)
    (old,) = run.leases
    assert (old.state, old.reclaimed_s) == (LeaseState.RETURNING, NOW_S + HOUR_S)
    assert old.why_ended == "taken away by a higher bid"
    assert run.notes == (
        "m1 was taken away by a higher bid (it had cost $0.40, $0.04 of it for what is done "
        "again); the job goes on from its checkpoint at step 40 on another machine",
    )
    stage.drive()
    assert stage.cloud.said("delete") == ["m1"]


def test_providers_are_asked_anew_at_once_and_the_best_of_now_is_rented(
    stage: Stage, tmp_path: Path
) -> None:
    reclaimed(stage, tmp_path)
    cheap = to_bid_for("cheap", "0.20")
    stage.cloud.shelf = [LASTING, to_bid_for("first", "0.50"), cheap]
    stage.cloud.usd_per_hour = cheap.price.usd_per_hour

    run = stage.until(lambda run: run.state is State.BOOTING, limit_s=120.0)

    assert stage.cloud.said("offers") == [""]
    new = run.leases[-1]
    assert (new.offer.id, new.state) == ("cheap", LeaseState.HELD)
    assert new.offer.bid is not None
    assert new.offer.bid.reclaims_per_hour == pytest.approx((1 / 3 + 1) / 3)  # one in an hour seen
    assert new.label != run.leases[0].label


def test_bids_that_are_lost_again_and_again_give_way_to_what_lasts(
    stage: Stage, tmp_path: Path
) -> None:
    lost = tuple(
        lease(
            f"lost-{number}",
            state=LeaseState.CLOSED,
            offer=FIRST,
            machine_id=f"lost-{number}",
            did_work=True,
            sent_s=NOW_S - 600,
            reclaimed_s=NOW_S - 300,
            gone_s=NOW_S - 240,
        )
        for number in range(MAX_CREATED + 2)
    )
    working(stage, tmp_path, before=lost, run={"max_duration_s": 20 * HOUR_S})
    takes_away(stage)
    stage.drive()
    stage.box.fault = None
    stage.cloud.shelf = [FIRST, LASTING]

    run = stage.until(lambda run: run.state is State.BOOTING, limit_s=300.0)

    assert run.leases[-1].offer.id == "lasting"


def test_where_nothing_is_for_rent_it_is_waited_for_as_long_as_a_plan_is_good(
    stage: Stage, tmp_path: Path
) -> None:
    reclaimed(stage, tmp_path)

    run = stage.until(lambda run: run.outcome is not None, limit_s=2000.0)

    assert run.outcome is Outcome.NO_CAPACITY
    assert run.failure is not None
    assert run.failure.problem.startswith("its machine was taken away by a higher bid")
    assert run.artifacts_missing


def test_the_cap_bounds_what_is_taken_away_again_and_again(stage: Stage, tmp_path: Path) -> None:
    reclaimed(stage, tmp_path, cap_usd=Decimal("0.45"))
    stage.cloud.shelf = [FIRST]

    run = stage.until(lambda run: run.outcome is not None, limit_s=2000.0)

    assert run.outcome is Outcome.CAPPED
    assert stage.cloud.said("create") == []
    assert run.upper_usd(stage.clock.now_s()) <= Decimal("0.45")


def test_so_does_max_duration(stage: Stage, tmp_path: Path) -> None:
    run = reclaimed(stage, tmp_path, max_duration_s=HOUR_S + 30)

    assert run.outcome is Outcome.FAILED
    assert stage.cloud.said("offers") == []


def test_a_machine_on_demand_that_stopped_is_lost_and_not_taken_away(
    stage: Stage, tmp_path: Path
) -> None:
    working(stage, tmp_path, {"offer": LASTING})
    takes_away(stage)
    stage.drive()

    assert stage.first.reclaimed_s is None
    assert "m1 was lost; the job goes on from the start on another machine" in stage.run.notes


def test_a_bid_that_is_lost_before_anybody_logged_in_did_no_work(
    stage: Stage, tmp_path: Path
) -> None:
    working(stage, tmp_path, {"did_work": False, "host_key_by": ""}, run={"state": State.BOOTING})
    takes_away(stage)

    stage.drive()

    first: Lease = stage.first
    assert (first.state, first.did_work) == (LeaseState.RETURNING, False)
    assert first.reclaimed_s is not None and first.failed_boot_s is not None
    assert first.why_ended == "a higher bid took it before anybody could log in"
    assert stage.run.leases[-1].offer.id in ("first", "lasting")


def loses_its_results(
    stage: Stage, folder: Path, changes: Mapping[str, object] | None = None
) -> Run:
    """Its program had ended, and the results were on their way home."""
    ended = {"why": "finished", "exit_code": 0}
    working(stage, folder, run={"state": State.COLLECTING, "exit": ended, **(changes or {})})
    takes_away(stage)
    stage.drive()
    stage.box.fault = None
    return stage.run


def test_results_that_were_not_home_are_made_anew_from_the_last_checkpoint(
    stage: Stage, tmp_path: Path
) -> None:
    saves(stage, 40)

    run = loses_its_results(stage, tmp_path)

    assert (run.state, run.outcome, run.exit, run.exit_seen_s) == (State.PLANNED, None, {}, None)
    assert "goes on from its checkpoint at step 40" in run.notes[-1]
    stage.cloud.shelf = [FIRST]
    assert stage.until(lambda run: run.state is State.BOOTING, limit_s=120.0)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"exit": {"why": "finished", "exit_code": 3}}, Outcome.FAILED),
        ({"stop_reason": "cap"}, Outcome.CAPPED),
        ({"wish": Wish.CANCEL}, Outcome.SUCCEEDED),
        ({"max_duration_s": 30.0}, Outcome.SUCCEEDED),
    ],
    ids=["the program failed", "it was stopped", "it is not wanted", "no time is left"],
)
def test_nothing_is_made_anew_that_nobody_wants(
    stage: Stage, tmp_path: Path, changes: dict[str, object], outcome: Outcome
) -> None:
    run = loses_its_results(stage, tmp_path, changes)

    assert (run.state, run.outcome) == (State.RETURNING, outcome)
    assert run.artifacts_missing
    assert stage.cloud.said("offers") == []
