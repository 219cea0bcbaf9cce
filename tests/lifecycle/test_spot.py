"""A job on machines of a market that are taken away for higher bids, from plan to proof of return.

All of ours is real but the clock and the machines' insides: Vast.ai's client over HTTP, journal,
engine, steps, cargo and home store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from infra.simcloud.rented import Rented
from orchestrator.budget.ledger import Limits
from orchestrator.budget.price import CENT
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.cargo import RunCargo
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.material import prepare
from orchestrator.lifecycle.memory import recall
from orchestrator.lifecycle.plan import make_plan, to_wait
from orchestrator.lifecycle.snapshot import keep_code
from orchestrator.lifecycle.submitting import record
from orchestrator.lifecycle.views import exit_code
from orchestrator.lifecycle.world import Opened, World
from orchestrator.providers.vast import Vast
from orchestrator.providers.wrappers import stacked
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.spec.load import load_job
from orchestrator.store.home import run_folder
from orchestrator.store.journal import Journal
from tests.crash.fleet import Fleet, StageClock
from tests.crash.life import Life
from tests.crash.machine import Program
from tests.crash.mortal import MortalShell

RUN_ID, HOME_ID = "runid123", "homeid"
EVERY_S = 20.0
JOB = """\
kind: finetune
name: trainer
code: {path: own, command: python train.py}
gpu: {memory_gib: 12}
budget: {max_cost: 3.00, max_duration: 2h}
checkpoints: {every: 20s}
accept_unguarded: true
spot: true
"""


class Spot:
    """One run on a simulated market, and its driver."""

    def __init__(self, folder: Path, cloud: SimCloud, clock: StageClock) -> None:
        self.cloud, self.clock = cloud, clock
        self.fleet = Fleet(cloud, clock)
        self.fleet.program = Program(seconds=200.0, checkpoint_every_s=8.0)
        (folder / "own").mkdir()
        (folder / "own" / "train.py").write_text("print('trained')\n")
        (folder / "job.yaml").write_text(JOB)
        self.job = load_job(folder / "job.yaml")
        self.home = folder / "home"
        self.home.mkdir()
        self.journal = Journal(f"sqlite:///{self.home / 'gpulease.sqlite'}")
        env = cloud.env
        key, url = SecretStr(env["VAST_API_KEY"]), env["GPULEASE_VAST_URL"]
        self.client = Vast(key, url=url, clock=clock)
        provider = stacked(self.client, clock)
        self.accounts = Accounts(lambda _: provider, clock)
        cargo = RunCargo(self.home, self.accounts.provider, lambda _: None)
        self.world = World(
            clock=clock,
            home_id=HOME_ID,
            accounts=self.accounts,
            open_shell=self._open,
            cargo=cargo,
            wish_of=lambda run_id: self.journal.run(run_id).wish,
            answers=self.fleet.answers,
            recall=lambda names: recall(self.accounts, self.journal, names, clock.now_s()),
        )
        self.engine = Engine(self.journal, self.world)

    @property
    def run(self) -> Run:
        return self.journal.run(RUN_ID)

    def submit(self) -> None:
        """As the command does it."""
        material = prepare(self.job, cache_dir=self.home, endpoint="", token=None)
        offers, failures = ask_all(self.accounts, ["vast"], material.need)
        assert not failures
        kinds = {"vast": self.accounts.provider("vast").capabilities}
        now_s = self.clock.now_s()
        known = self.world.recall(kinds)
        plan = make_plan(material, offers, kinds, now_s=now_s, failures=[], known=known)
        plan = to_wait(plan, ["vast"], 0.0)
        assert plan.cap_usd is not None
        keep_code(run_folder(self.home, RUN_ID), self.job)
        record(
            self.journal,
            plan,
            run_id=RUN_ID,
            home_id=HOME_ID,
            capabilities=kinds["vast"],
            cap_usd=plan.cap_usd,
            limits=Limits(),
            now_s=now_s,
        )

    def drive(self, meddle: Callable[[Run], None], *, limit_s: float = 4 * 3600.0) -> Run:
        """Move the run to its end; the market may `meddle` between two steps."""
        end_s = self.clock.now_s() + limit_s
        while (run := self.run).is_open:
            meddle(run)
            assert self.clock.now_s() < end_s, f"stuck: {run.state}, {run.waiting}"
            wait_s = self.engine.drive(RUN_ID)
            self.clock.advance(max(wait_s or 0.0, 0.2))
        return run

    def machines(self) -> list[Rented]:
        return list(self.cloud.world.machines.values())

    def bill_usd(self) -> Decimal:
        now_s = self.clock.now_s()
        return sum((machine.bill_usd(now_s) for machine in self.machines()), Decimal(0))

    def takes_away(self, times: int) -> Callable[[Run], None]:
        """Let somebody bid more for each of the first machines, once it has saved and worked on."""

        def meddle(run: Run) -> None:
            lease = run.lease
            taken = sum(one.reclaimed_s is not None for one in run.leases)
            saved = run.checkpoint_home and run.checkpoint not in ("", run.checkpoint_home)
            if run.state is not State.RUNNING or lease is None or taken >= times or not saved:
                return
            machine = self.cloud.world.machines[lease.machine_id or ""]
            if machine.alive and lease.offer.spot and machine.is_up:
                self.lost_at[machine.id] = (run.checkpoint, run.checkpoint_home)
                self.cloud.machine_fault(machine.id, "spot_reclaim")

        self.lost_at: dict[str, tuple[str, str]] = {}
        return meddle

    def close(self) -> None:
        for store in self.world.stores.values():
            store.close()
        for shell in self.world.shells.values():
            shell.close()
        self.fleet.close()
        self.client.close()
        self.journal.close()

    def _open(self, _run: Run, lease: Lease) -> Opened:
        login = self.fleet.log_in(lease)
        return Opened(MortalShell(login, Life()), login.box.host_key)


@pytest.fixture
def spot(tmp_path: Path) -> Iterator[Spot]:
    clock = StageClock()
    (tmp_path / "cloud").mkdir()
    with SimCloud(
        state=tmp_path / "cloud", machines="memory", clock=clock, providers=("runpod", "vast")
    ) as cloud:
        made = Spot(tmp_path, cloud, clock)
        yield made
        made.close()


def step(checkpoint: str) -> int:
    return int(checkpoint.rpartition("-")[2])


def books_agree(spot: Spot, run: Run) -> None:
    """Nothing is left, nothing was counted too low, and the estimate is the bill."""
    now_s = spot.clock.now_s()
    assert not [machine.id for machine in spot.machines() if machine.alive]
    assert {lease.state for lease in run.leases} <= {LeaseState.CLOSED, LeaseState.TOMBSTONE}
    assert run.upper_usd(now_s) <= run.cap_usd
    for machine in spot.machines():
        (lease,) = (one for one in run.leases if one.machine_id == machine.id)
        billed_usd = machine.bill_usd(now_s)
        assert lease.upper_usd(now_s) >= billed_usd
        assert abs(lease.cost_usd(now_s) - billed_usd) < CENT
    assert run.upper_usd(now_s) >= spot.bill_usd()


def test_a_job_whose_machine_is_taken_away_twice_ends_as_if_it_had_not_been(spot: Spot) -> None:
    spot.submit()
    assert spot.run.candidates[0].offer.spot

    run = spot.drive(spot.takes_away(2))

    assert (run.outcome, exit_code(run)) == (Outcome.SUCCEEDED, 0)
    assert not run.artifacts_missing
    taken = [lease for lease in run.leases if lease.reclaimed_s is not None]
    assert len(taken) == 2 and len(spot.machines()) == 3
    assert {lease.why_ended for lease in taken} == {"taken away by a higher bid"}
    for lost, instead in zip(spot.machines(), spot.machines()[1:], strict=False):
        newest, home = map(step, spot.lost_at[lost.id])
        assert (newest - home) / 10 * 4 <= EVERY_S  # ten steps take four seconds
        assert f"checkpoints/step-{home}/weights.bin" in spot.fleet.boxes[instead.id].files
        told = f"{lost.id} was taken away by a higher bid (it had cost $"
        assert [note for note in run.notes if note.startswith(told) and f"step {home} " in note]
    books_agree(spot, run)


def test_bids_that_do_not_hold_give_way_to_a_machine_on_demand(spot: Spot) -> None:
    spot.submit()

    run = spot.drive(spot.takes_away(20))

    kinds = [lease.offer.spot for lease in run.leases if lease.has_machine]
    assert run.outcome is Outcome.SUCCEEDED
    assert kinds[0] and not kinds[-1]
    assert len(kinds) < 10
    assert spot.machines()[-1].id not in spot.lost_at
    books_agree(spot, run)


def test_a_reclaimed_machine_goes_back_at_once_and_its_disk_is_all_that_bills_meanwhile(
    spot: Spot,
) -> None:
    spot.submit()

    run = spot.drive(spot.takes_away(1))

    (lost,) = (machine for machine in spot.machines() if machine.id in spot.lost_at)
    (lease,) = (one for one in run.leases if one.machine_id == lost.id)
    assert lease.reclaimed_s is not None and lost.ended_s is not None
    assert lost.ended_s - lease.reclaimed_s < 60.0
    assert lost.spans[-1].usd_per_hour == lost.stopped_usd_per_hour < lease.usd_per_hour


def test_a_bid_that_loses_at_once_is_returned_and_the_next_offer_does_the_job(spot: Spot) -> None:
    spot.cloud.fault("low_bid", operation="create", provider="vast")
    spot.submit()

    run = spot.drive(lambda _: None)

    assert run.outcome is Outcome.SUCCEEDED
    assert len(spot.machines()) == 2
    books_agree(spot, run)


def test_a_machine_that_is_taken_away_before_the_results_are_home_loses_none_of_them(
    spot: Spot,
) -> None:
    def meddle(run: Run) -> None:
        alive = [machine for machine in spot.machines() if machine.alive]
        if run.state is State.COLLECTING and len(run.leases) == 1 and alive[0].is_up:
            spot.cloud.machine_fault(alive[0].id, "spot_reclaim")

    spot.submit()

    run = spot.drive(meddle)

    assert (run.outcome, exit_code(run), run.artifacts_missing) == (Outcome.SUCCEEDED, 0, ())
    assert len(spot.machines()) == 2
    assert {"model/model.safetensors", "notes.txt"} <= {path for path, _, _ in run.artifacts}
    books_agree(spot, run)
