"""A run on a simulated cloud in this process: it may be killed at any point, and goes on.

Everything of ours is real but the clock and the shell: the providers' clients with their wrappers
over HTTP, the journal on a file, engine, world, accounts, reaper, cargo and home store.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, ClassVar

from infra.simcloud.cloud import SimCloud
from infra.simcloud.rented import Phase, Rented
from orchestrator.budget.ledger import Limits
from orchestrator.clock import SystemClock
from orchestrator.errors import BudgetRefused, GpuleaseError, NoOffer, StaleRun, UsageError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.balance import Purses
from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.lifecycle.cargo import RunCargo
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.lifecycle.driver import count_on
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.leftovers import Sweeper
from orchestrator.lifecycle.material import prepare
from orchestrator.lifecycle.plan import Material, make_plan, to_wait
from orchestrator.lifecycle.reaper import Reaper
from orchestrator.lifecycle.reusing import reuse_plan, take_over
from orchestrator.lifecycle.snapshot import keep_code
from orchestrator.lifecycle.submitting import record
from orchestrator.lifecycle.uploads import check_bucket, to_bucket
from orchestrator.lifecycle.world import Opened, World
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import MachineRequest, Provider
from orchestrator.providers.wrappers import stacked
from orchestrator.remote.keys import copy_key_pair
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need
from orchestrator.store.home import run_folder
from orchestrator.store.journal import Journal
from tests.crash.clouds import CLOUDS, Client, has_guard, make_client, tells_in_time
from tests.crash.fleet import Fleet, StageClock
from tests.crash.life import FILES, Killed, Life
from tests.crash.mortal import MortalJournal, MortalProvider, MortalShell
from tests.crash.uploads import MortalStores, write_signed

if TYPE_CHECKING:
    from tests.crash.home_beside import HomeBeside

HOME_ID = "homeid"
RUN_ID = "runid123"
NEXT_ID = "runid456"  # goes on with the machine that the first one keeps
NEIGHBOUR = "somebody-elses"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
_STEPS = 4000
_USELESS_S = 1200.0
_LONG_STATES = (State.BOOTING, State.RUNNING, State.COLLECTING, State.KEPT)


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Stage:
    """One run's home and cloud, across the deaths of its driver."""

    cloud: SimCloud
    clock: StageClock
    fleet: Fleet
    home: Path
    job: Job
    keep_s: float = 0.0
    reuses: bool = False
    pace_s: float = 0.5  # a driver looks no more often in a state that may last
    wait_s: float = 0.0  # of `submit --wait`
    left_alone: set[str] = field(default_factory=set)  # machines that nobody could end meanwhile
    untold: set[str] = field(default_factory=set)  # of these nobody can prove yet when they ended
    seen: list[str] = field(default_factory=list)  # promises broken on the way
    creates: dict[str, int] = field(default_factory=dict)
    providers: tuple[str, ...] = ("runpod",)
    others_keys: set[str] = field(default_factory=set)  # of these another account's key is at hand
    home_id: str = HOME_ID
    homes: set[str] = field(default_factory=set)  # that act on these accounts, this one too
    beside: list[HomeBeside] = field(default_factory=list)  # the others of them
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # of this performance
    marks: dict[str, float] = field(default_factory=dict)  # when a story did what it does once
    takes_nothing_back: bool = False  # the provider refuses every end
    stepped_s: float = 0.0  # by which this computer's wall clock was set ahead, or back
    _useless_s: dict[str, float] = field(default_factory=dict)  # machine → since when it is

    def __post_init__(self) -> None:
        self.homes.add(self.home_id)
        store = self.home / "gpulease.sqlite"
        self.store = f"sqlite:///{store}"
        self._changes = sqlite3.connect(store, isolation_level=None)
        self._known: tuple[int, list[Run]] = (-1, [])
        self.journal = Journal(self.store)  # of somebody who only looks, and of the person

    def close(self) -> None:
        for other in self.beside:
            other.stage.close()
        self._changes.close()
        self.journal.close()
        shutil.rmtree(self.home)

    @property
    def run(self) -> Run:
        return self.runs()[0]

    def runs(self) -> list[Run]:
        """Every run that was recorded, the first one first."""
        # It is looked at after every step, and SQLite says whether anybody wrote since.
        (version,) = self._changes.execute("PRAGMA data_version").fetchone()
        if version != self._known[0]:
            known = [one for one in (RUN_ID, NEXT_ID) if self.journal.find_ids(one)]
            self._known = (version, [self.journal.run(one) for one in known])
        return self._known[1]

    def leases(self) -> list[Lease]:
        """Every lease of every run, in order."""
        return [lease for run in self.runs() for lease in run.leases]

    def is_recorded(self) -> bool:
        return bool(self.runs())

    def machines(self) -> list[Rented]:
        """Every machine ever rented under a label of ours, the oldest first."""
        every = self.cloud.world.machines.values()
        labels = ((machine, parse_label(machine.label)) for machine in every)
        return [machine for machine, label in labels if label and label.home == self.home_id]

    def neighbours(self) -> list[Rented]:
        """Machines on the same accounts of somebody who does nothing with them in this story."""
        every = self.cloud.world.machines.values()
        labels = ((machine, parse_label(machine.label)) for machine in every)
        return [one for one, label in labels if not label or label.home not in self.homes]

    def add_neighbour(self, label: str = NEIGHBOUR) -> None:
        """Somebody rents a machine that is no business of ours, on the first of the clouds."""
        client = make_client(self.providers[0], self.cloud.env, self.home, self.clock)
        offer = client.list_offers(Need())[-1]
        request = MachineRequest(label, offer, "image:1", 20, _KEY, "sleep infinity")
        client.create_machine(request)
        client.close()

    def living(self) -> list[Rented]:
        return [machine for machine in self.machines() if machine.alive]

    def sleep(self, seconds: float) -> None:
        """This computer is suspended; the world goes on."""
        self._stand_still(seconds, asleep=True)

    def leave(self, seconds: float) -> None:
        """This computer is off, or its driver dead."""
        self._stand_still(seconds, asleep=False)

    def _stand_still(self, seconds: float, *, asleep: bool) -> None:
        """Nobody acts in any home of this story: they share one clock."""
        stages = [self, *(other.stage for other in self.beside)]
        for one in stages:
            one._lose_sight()
        since_s = self.clock.now_s()
        self.clock.advance(seconds, asleep=asleep)
        for one in stages:
            one._useless_s.clear()  # nobody could give anything back
            one.left_alone |= {
                machine.id for machine in one.machines() if one._was_alone(machine, since_s)
            }

    def _was_alone(self, machine: Rented, since_s: float) -> bool:
        """Whether nothing could end it.

        It bills and does not run, because it failed or never started; or its provider's machines
        have no guard; or the guard was refused again and again.
        """
        box = self.fleet.boxes.get(machine.id)
        if box is not None and box.was_refused(since_s):
            return True
        is_idle = machine.phase is not Phase.RUNNING
        return machine.alive and (is_idle or not self._ends_itself(machine))

    def _ends_itself(self, machine: Rented) -> bool:
        """Whether there is a way left for its guard: RunPod's old API may be the only one, and be
        gone.
        """
        switches = self.cloud.apis[machine.provider].switches
        ways = set(getattr(switches, "pod_key_ways", ("any",)))
        if getattr(switches, "graphql_gone", False):
            ways.discard("graphql")
        return has_guard(machine) and bool(ways)

    def _lose_sight(self) -> None:
        """Nobody watches: of some providers' machines only a late bill tells when they ended."""
        leases = self.leases() if self.is_recorded() else []
        unproven = {lease.machine_id for lease in leases if lease.is_open}
        self.untold |= {
            one.id
            for one in self.machines()
            if (one.alive or one.id in unproven) and not tells_in_time(one)
        }

    def reap_from_elsewhere(self) -> None:
        """Another host, without a store of ours, ends what is past its deadline."""
        journal = Journal(f"sqlite:///{self.home.parent / 'elsewhere.sqlite'}")
        clients = {
            name: make_client(name, self.cloud.env, self.home.parent / "elsewhere", self.clock)
            for name in self.providers
        }
        accounts = Accounts(lambda name: stacked(clients[name], self.clock), self.clock)
        reaper = Reaper(accounts, journal, self.clock, "another")
        found, failures, _ = reaper.look(list(self.providers))
        self.seen += [f"a reaper elsewhere met trouble: {one}" for one in failures]
        now_s = self.clock.now_s()
        late = [one for one in found if one.may_return(now_s, past_deadline=True)]
        reaper.end(late, lambda text: None)
        for client in clients.values():
            client.close()
        journal.close()

    def sweep(self) -> None:
        """As a driver at its start: remove what runs left on the accounts beside machines."""
        clients = {
            name: make_client(name, self.cloud.env, self.home, self.clock)
            for name in self.providers
        }
        accounts = Accounts(lambda name: stacked(clients[name], self.clock), self.clock)
        sweeper = Sweeper(accounts, self.journal, self.clock, self.home_id)
        sweeper.sweep()
        left, failures = sweeper.look(self.providers, past=False)
        self.seen += [f"{one.words} is left" for one in left] + failures
        for client in clients.values():
            client.close()

    def created(self, request: MachineRequest) -> None:
        """Whatever became of a create: who lives now, and what did the store say beforehand?"""
        self.creates[request.label] = self.creates.get(request.label, 0) + 1
        leases = {lease.label: lease for lease in self.leases()}
        if request.label not in leases:
            self.seen.append(f"a create was sent under {request.label}, which is not recorded")
        for machine in self.living():
            lease = leases.get(machine.label)
            may_stay = lease is not None and lease.state is LeaseState.RETURNING
            if machine.label != request.label and not may_stay:
                state = lease.state if lease else "unknown"
                self.seen.append(
                    f"a create was sent under {request.label} while {machine.id} lived under "
                    f"{machine.label}, whose lease is {state}"
                )

    def ends(self, machine_id: str) -> None:
        """A delete is about to be sent."""
        if machine_id not in {machine.id for machine in self.machines()}:
            self.seen.append(f"{machine_id} was asked to end, and it is somebody else's")

    def look(self) -> None:
        """Whatever lives must be known as living."""
        living = self.living()
        if not living or not self.is_recorded():
            return
        self._look_at_the_useless(living)
        leases = self.leases()
        for machine in living:
            owners = [one.run_id for one in leases if one.machine_id == machine.id and one.is_open]
            if len(owners) > 1:
                self.seen.append(f"{machine.id} has {len(owners)} leases: {owners}")
            told = {one.state for one in leases if machine.id == one.machine_id}
            told = told or {one.state for one in leases if machine.label == one.label}
            if told <= {LeaseState.TOMBSTONE, LeaseState.CLOSED, LeaseState.HANDED}:
                said = ", ".join(told) or "nothing"
                text = f"{machine.id} lives under {machine.label}, and the store says {said}"
                if text not in self.seen:
                    self.seen.append(text)

    def _look_at_the_useless(self, living: list[Rented]) -> None:
        """What stopped or failed bills, and does nothing: it must not be kept for long.

        Nobody gives anything back while this computer sleeps, or while its provider refuses.
        """
        now_s = self.clock.awake_s()
        for machine in living:
            if machine.phase not in (Phase.STOPPED, Phase.FAILED) or self.takes_nothing_back:
                self._useless_s.pop(machine.id, None)
                continue
            for_s = now_s - self._useless_s.setdefault(machine.id, now_s)
            text = f"{machine.id} is {machine.phase}, and was kept too long"
            if for_s > self._useless_for_s(machine) and text not in self.seen:
                self.seen.append(text)

    def _useless_for_s(self, machine: Rented) -> float:
        """As long as a machine may boot: some providers show one that failed as if it still did."""
        facts = CLOUDS[machine.provider].facts
        mine = (one for one in self.leases() if one.machine_id == machine.id)
        boot_s = max((boot_deadline_s(one.offer, facts) for one in mine), default=0.0)
        return max(_USELESS_S, boot_s + _USELESS_S / 2)


@dataclass
class StageTime:
    """The stage's clock as a process reads it: somebody may set this computer's wall clock."""

    stage: Stage
    system: SystemClock = field(init=False)

    def __post_init__(self) -> None:
        clock = self.stage.clock
        self.system = SystemClock(
            wall_s=lambda: clock.now_s() + self.stage.stepped_s, since_boot_s=clock.elapsed_s
        )

    def now_s(self) -> float:
        return self.system.now_s()

    def awake_s(self) -> float:
        return self.stage.clock.awake_s()

    def elapsed_s(self) -> float:
        return self.stage.clock.elapsed_s()

    def wait(self, event: Event, seconds: float) -> bool:
        return self.stage.clock.wait(event, seconds)


class Process:
    """One driver process, from its start to its death. A test may plant a defect by a subclass."""

    client_types: ClassVar[dict[str, Callable[..., Client]]] = {}  # other ones than the product's
    accounts_type = Accounts
    cargo_type = RunCargo
    world_type = World

    def __init__(self, stage: Stage, dies_at: int | None = None) -> None:
        self.stage = stage
        self.life = Life(dies_at)
        self.journal = MortalJournal(stage.store, self.life)
        self.clock = StageTime(stage)
        self.clients: dict[tuple[str, bool], Client] = {}
        self.built: dict[tuple[str, bool], Provider] = {}
        self.accounts = self.accounts_type(self.provider, self.clock)
        self.purses = Purses(self.accounts, self.journal, self.clock)
        self.cargo = self.cargo_type(stage.home, self.accounts.provider, lambda _: None)
        self.stores = MortalStores(stage.fleet.store, self.life, self.clock.now_s)
        self.world = self.make_world()
        self.engine = Engine(self.journal, self.world)
        self._look_s = 0.0  # when the accounts' balances are looked at next
        reaper = Reaper(self.accounts, self.journal, self.clock, stage.home_id)
        self.accounts.watchers.append(reaper.return_known)

    def provider(self, name: str) -> Provider:
        """A provider under the key that is at hand; one for each key, however often it is asked."""
        key = (name, name in self.stage.others_keys)
        if key not in self.built:
            self.built[key] = self.make_provider(name)
        return self.built[key]

    def make_provider(self, name: str) -> Provider:
        stage, is_others = self.stage, name in self.stage.others_keys
        client = make_client(
            name,
            stage.cloud.env,
            stage.home,
            self.clock,
            kind=self.client_types.get(name),
            is_others=is_others,
        )
        self.clients[name, is_others] = client
        return stacked(MortalProvider(client, self.life, stage.created, stage.ends), self.clock)

    def make_world(self) -> World:
        return self.world_type(
            clock=self.clock,
            home_id=self.stage.home_id,
            accounts=self.accounts,
            open_shell=self.open_shell,
            cargo=self.cargo,
            wish_of=lambda run_id: self.journal.run(run_id).wish,
            bucket=self.stores.bucket,
            purse=self.purses.of,
            answers=self.stage.fleet.answers,
        )

    def open_shell(self, run: Run, lease: Lease) -> Opened:
        login = self.stage.fleet.log_in(lease)
        return Opened(MortalShell(login, self.life), login.box.host_key)

    def material(self) -> Material:
        """What is submitted."""
        stage = self.stage
        made = prepare(stage.job, cache_dir=stage.home, endpoint="", token=None)
        keep_s = stage.keep_s if not stage.is_recorded() else 0.0
        launch = replace(made.launch, keep_s=keep_s)
        if launch.bucket:
            launch = to_bucket(launch, self.stores.settled("eu-west-1"))
        return replace(made, launch=launch)

    def submit(self) -> None:
        """As the command does it; from the record on, a driver is started."""
        stage = self.stage
        material = self.material()
        offers: list[Offer] = []
        failures: dict[str, GpuleaseError] = {}
        for name in stage.providers:  # not at once: threads that wait would share one clock
            found, failed = ask_all(self.accounts, [name], material.need)
            offers += found
            failures |= failed
        if len(failures) == len(stage.providers):
            raise next(iter(failures.values()))
        facts = {name: self.accounts.provider(name).capabilities for name in stage.providers}
        told = [f"{name}: {failure.problem}" for name, failure in failures.items()]
        plan = make_plan(material, offers, facts, now_s=self.clock.now_s(), failures=told)
        if stage.wait_s or material.job.spot:
            plan = to_wait(plan, stage.providers, stage.wait_s)
        assert plan.cap_usd is not None
        if material.launch.bucket:
            s3 = self.stores.open_for(material.launch)
            write = write_signed(stage.fleet.store)
            check_bucket(plan, s3, self.clock.now_s(), write=write)
        keep_code(run_folder(stage.home, RUN_ID), material.job)
        record(
            self.journal,
            plan,
            run_id=RUN_ID,
            home_id=stage.home_id,
            capabilities=facts[plan.candidates[0].offer.provider] if plan.candidates else None,
            cap_usd=plan.cap_usd,
            limits=Limits(),
            now_s=self.clock.now_s(),
        )

    def reuse(self) -> bool:
        """As the command does it, once the first run keeps its machine; false when refused."""
        stage, now_s = self.stage, self.clock.now_s()
        first, folder = stage.run, run_folder(stage.home, NEXT_ID)
        assert first.lease is not None
        capabilities = self.accounts.provider(first.lease.provider).capabilities
        try:
            plan = reuse_plan(self.material(), first, capabilities, now_s)
            keep_code(folder, stage.job, like=run_folder(stage.home, RUN_ID))
            copy_key_pair(run_folder(stage.home, RUN_ID) / "keys", folder / "keys")
            self.engine.hand_over(first, *take_over(first, plan, NEXT_ID, now_s))
        except (UsageError, NoOffer, BudgetRefused, StaleRun):
            return False  # too late, or too dear: it goes back
        return True

    def drive(self, meddle: Callable[[Stage], None]) -> None:
        """Move the run to its end; the person and the world may `meddle` between two steps."""
        for _ in range(_STEPS):
            self.stage.look()
            meddle(self.stage)
            seconds = self.step()
            if seconds is None:
                return
            self.stage.clock.advance(seconds)
        run = self.stage.runs()[-1]
        raise Violation(f"the run does not end: {run.state}, waiting for {run.waiting!r}")

    def step(self) -> float | None:
        """Move each run by a step; gives the seconds until the next, None when all are over."""
        stage = self.stage
        if stage.clock.awake_s() >= self._look_s:
            self._look_s = stage.clock.awake_s() + self.purses.look().seconds
        run = stage.runs()[-1]
        keeps = stage.reuses and run.id == RUN_ID and run.state is State.KEPT
        if keeps and self.reuse():
            return 0.01
        waits_s = [self.engine.drive(one.id) for one in stage.runs()]
        run = stage.runs()[-1]
        if waits_s[-1] is None and not run.is_open:
            return None
        seconds = min(one for one in (*waits_s, 30.0) if one is not None)
        return max(seconds, stage.pace_s if run.state in _LONG_STATES else 0.01)

    def live(self, meddle: Callable[[Stage], None], *, submits: bool = False) -> bool:
        """Drive the run, which this process may be the one to submit; false when killed."""
        try:
            with FILES.of(self.life, self.stage.home):
                if submits:
                    self.submit()
                self.begin()
                self.drive(meddle)
        except Killed:
            return False
        finally:
            self.end()
        return True

    def begin(self) -> None:
        """As a driver does it, before its first step."""
        self.journal.set_meta("driver", json.dumps(count_on(self.journal, self.clock.system)))

    def end(self) -> None:
        """What the system does for a dead process: its descriptors and connections are closed."""
        for store in self.world.stores.values():
            store.close()
        for shell in self.world.shells.values():
            shell.close()
        for client in self.clients.values():
            client.close()
        self.journal.close()


def promised(stage: Stage, run_id: str) -> dict[str, str]:
    """Path on the machine and sha256 of what the run's last program that ended was to give back."""
    boxes = [stage.fleet.boxes[one.id] for one in stage.machines() if one.id in stage.fleet.boxes]
    told = [box.promised[run_id] for box in boxes if run_id in box.promised]
    return told[-1] if told else {}


def artifacts_dir(stage: Stage, run_id: str) -> Path:
    return run_folder(stage.home, run_id) / "artifacts"


def bill_usd(stage: Stage) -> Decimal:
    now_s = stage.clock.now_s()
    return sum((machine.bill_usd(now_s) for machine in stage.machines()), Decimal(0))
