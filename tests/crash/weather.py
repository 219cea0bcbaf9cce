"""What goes wrong in one run, drawn by a number: knobs of clouds, mishaps, deaths, the person.

Whatever was drawn happens for a while; after some hours the sky clears, so that every run can end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from infra.simcloud.faults import LAGS, STANDING
from orchestrator.errors import GpuleaseError
from orchestrator.runs.states import Outcome, State, Wish
from tests.crash.acts import bucket_down_for
from tests.crash.climates import CLIMATES, Knob
from tests.crash.clouds import UNGUARDED
from tests.crash.home_beside import HomeBeside, act_beside
from tests.crash.machine import Program
from tests.crash.stage import NEXT_ID, Process, Stage
from tests.crash.stories import Story

CLEARS_S = 3 * 3600.0
_TRIES = 25  # of a submit
_AGAIN_S = 60.0
_STORMS = 0.15  # of all draws: a dozen knobs more
_BIDS = 0.3  # of the runs where machines may be bid for
_BUCKETS = 0.1  # of the runs: results go there
_KEPT = 0.12  # of the runs: the machine is kept, and of these in every second one used again
_BESIDE = 0.08  # of the runs: another home acts at the same time
_AWAY = 0.05  # of the runs: nobody is there for longer than a machine may live
_AWAY_TO_MEET = 0.25  # the same, of those with a fault of calls that are made then
_AWAY_S = 9000.0  # and then for as long as RunPod's bill may lag behind
_HANGS_S = 0.05  # real seconds: how long a lost answer is waited for

Option = float | int | str | bool | None
KNOBS = CLIMATES["runpod"].knobs

_STATES = (State.LOOKING, State.BOOTING, State.SHIPPING, State.RUNNING, State.COLLECTING)

_O = Outcome
# Whatever the weather: how a run may end. That the job failed is never said of one that did not.
ENDS = frozenset(
    {
        *((_O.SUCCEEDED, code) for code in (0, 8)),
        *((_O.CANCELLED, code) for code in (8, 9)),
        *((_O.CAPPED, code) for code in (5, 8)),
        *((_O.EXPIRED, code) for code in (5, 8)),
        *((_O.REFUSED, code) for code in (4, 5, 6, 8)),
        *((_O.NO_CAPACITY, code) for code in (3, 8)),
        *((_O.FAILED, code) for code in (6, 8)),
    }
)


def _break(stage: Stage, fault: str) -> None:
    for machine in stage.living():
        if machine.is_up and not machine.is_cut:
            stage.cloud.machine_fault(machine.id, fault)


def _stop_and_start(stage: Stage) -> None:
    """Somebody does it in the provider's console."""
    for machine in stage.living():
        if machine.is_up:
            stage.cloud.world.stop(machine)
            stage.cloud.world.start(machine)


def _where(stage: Stage) -> str:
    """The provider of the run's newest lease."""
    lease = stage.runs()[-1].lease
    return lease.provider if lease is not None else stage.providers[0]


def _pay(stage: Stage, usd: str) -> None:
    stage.cloud.switch(provider=_where(stage), balance_usd=usd)


def _mend(stage: Stage) -> None:
    for name in stage.providers:
        stage.cloud.apis[name].keys.restore()
        stage.cloud.switch(provider=name, balance_usd="200")
    for machine in stage.living():
        if machine.is_cut:
            stage.cloud.machine_fault(machine.id, "network_restored")


_LEFT = "left alone"
ACTS: dict[str, Callable[[Stage], None]] = {
    "host_lost": lambda stage: _break(stage, "host_lost"),
    "host_restarted": lambda stage: _break(stage, "host_restarted"),
    "network_cut": lambda stage: _break(stage, "network_cut"),
    "stopped and started": _stop_and_start,
    "key revoked": lambda stage: stage.cloud.fault("key_revoked", provider=_where(stage)),
    "balance gone": lambda stage: _pay(stage, "0"),
    "balance low": lambda stage: _pay(stage, "0.02"),
    "cancel": lambda stage: stage.journal.wish(stage.runs()[-1].id, Wish.CANCEL),
    "cancel --now": lambda stage: stage.journal.wish(stage.runs()[-1].id, Wish.CANCEL_NOW),
    "asleep": lambda stage: stage.sleep(1800.0),
    _LEFT: lambda stage: stage.leave(_AWAY_S),
}


@dataclass(frozen=True)
class Wants:
    """What whoever submits wants beside the plain run, and who else is there."""

    bucket: bool = False
    bucket_down_s: float = 0.0  # from the program's end on
    keep_s: float = 0.0
    reuses: bool = False
    mishaps_later: bool = False  # they wait for the run that uses the machine again
    beside: bool = False  # another home acts on the same accounts


@dataclass(frozen=True)
class Weather:
    """One draw."""

    seed: int
    providers: tuple[str, ...]
    faults: tuple[tuple[str, Knob, dict[str, Option]], ...]
    switches: tuple[tuple[str, dict[str, object]], ...]
    acts: tuple[tuple[str, State], ...]
    kills: tuple[int, ...]
    program: Program
    max_cost: str
    pace_s: float
    spot: bool
    wants: Wants

    @property
    def may_meet(self) -> set[tuple[str, Knob]]:
        """Providers and knobs of what can happen in it, as far as one knows beforehand."""
        is_alone = self.wants.bucket or any(act == _LEFT for act, _ in self.acts)
        held = {knob for _, knob, _ in self.faults}
        return {
            (name, knob)
            for name, knob, _ in self.faults
            if (is_alone or knob not in CLIMATES[name].met_alone)
            and CLIMATES[name].asked_of.get(knob[1], knob) in held
        }

    def story(self) -> Story:
        """The run that is told under it."""
        return Story(
            f"weather {self.seed} on {', '.join(self.providers)}: {self.told()}",
            ENDS,
            begin=self._begin,
            meddle=_Sky(self.acts, self.wants).meddle,
            program=self.program,
            max_cost=self.max_cost,
            pace_s=self.pace_s,
            spot=self.spot,
            bucket=self.wants.bucket,
            keep_s=self.wants.keep_s,
            reuses=self.wants.reuses,
            providers=self.providers,
            unguarded=not UNGUARDED.isdisjoint(self.providers),
        )

    def told(self) -> str:
        """All that was drawn, to be read where a promise was broken."""
        faults = [
            f"{name}: {fault} of {call} {options}" for name, (fault, call), options in self.faults
        ]
        acts = [f"{act} while {state}" for act, state in self.acts]
        rest = f"{self.program} {self.max_cost} {self.pace_s} {'spot' if self.spot else ''}"
        if self.wants != Wants():
            rest += f" {self.wants}"
        return f"{faults} {self.switches} {acts} {rest}".rstrip()

    def _begin(self, stage: Stage) -> None:
        for name, (fault, call), options in self.faults:
            stage.cloud.world.faults.add(name, call, fault, **options)
        for name, switches in self.switches:
            stage.cloud.switch(provider=name, **switches)
        if self.wants.beside:
            stage.beside.append(HomeBeside(stage, tries=_TRIES))


@dataclass
class _Sky:
    """Lets each act happen once, in its state, and clears in the end."""

    acts: tuple[tuple[str, State], ...]
    wants: Wants
    done: set[int] = field(default_factory=set)
    began_s: float | None = None
    cut_s: float | None = None

    def meddle(self, stage: Stage) -> None:
        now_s = stage.clock.now_s()
        self.began_s = self.began_s or now_s
        if stage.is_recorded():
            self._happen(stage)
        act_beside(stage)
        if self.cut_s is not None and now_s - self.cut_s > 120.0:
            self.cut_s = None
            _mend(stage)
        if now_s - self.began_s > CLEARS_S:
            stage.cloud.clear_faults()
            _mend(stage)

    def _happen(self, stage: Stage) -> None:
        run = stage.runs()[-1]
        if self.wants.bucket_down_s:
            bucket_down_for(self.wants.bucket_down_s)(stage)
        for number, (act, state) in enumerate(self.acts):
            is_its_time = run.state is state and (run.id == NEXT_ID or not self.wants.mishaps_later)
            if number not in self.done and is_its_time:
                self.done.add(number)
                self.cut_s = stage.clock.now_s()
                ACTS[act](stage)


def draw(seed: int, providers: tuple[str, ...] = ("runpod",)) -> Weather:
    """The weather of that number on these providers; the same each time."""
    elsewhere = "" if providers == ("runpod",) else f"{'+'.join(providers)} "
    chance = random.Random(f"weather {elsewhere}{seed}")
    faults: list[tuple[str, Knob]] = []
    for name in providers:
        often, every = CLIMATES[name].often, CLIMATES[name].knobs
        knobs = chance.sample(often, chance.randint(0, 3))
        knobs += chance.sample(every, chance.randint(1, 3))
        if chance.random() < _STORMS:
            knobs += chance.sample(every, 12)
        faults += [(name, knob) for knob in dict.fromkeys(knobs)]
    unlike = {act for name in providers for act in CLIMATES[name].unlike}
    possible = sorted(set(ACTS) - {_LEFT} - unlike)
    acts = chance.sample(possible, chance.choice((0, 0, 1, 1, 2)))
    max_costs = CLIMATES[providers[-1]].max_costs
    weather = Weather(
        seed=seed,
        providers=providers,
        faults=tuple((name, knob, _options(knob, chance)) for name, knob in faults),
        switches=tuple((name, CLIMATES[name].switches(chance, seed)) for name in providers),
        acts=tuple((act, chance.choice(_STATES)) for act in acts),
        kills=tuple(chance.randrange(150) for _ in range(chance.choice((0, 1, 1, 2, 3)))),
        program=Program(
            seconds=chance.choice((16.0, 60.0, 200.0)),
            checkpoint_every_s=chance.choice((8.0, 40.0)),
        ),
        max_cost=chance.choice(max_costs),
        pace_s=chance.choice((1.0, 3.0, 6.0)),
        spot="vast" in providers and chance.random() < _BIDS,
        wants=Wants(),
    )
    # By a chance of its own: what is drawn here came later, and left older numbers as they were.
    return _with_more(weather, random.Random(f"{elsewhere}{seed}, and more"))


def _with_more(weather: Weather, chance: random.Random) -> Weather:
    """The same weather, in some runs with other wishes, and where nobody is there for a while."""
    wants = _wants(chance)
    acts = weather.acts
    if wants.keep_s:
        acts = tuple((act, State.KEPT if chance.random() < 0.4 else state) for act, state in acts)
    held = [(name, knob) for name, knob, _ in weather.faults]
    is_met_alone = any(knob in CLIMATES[name].met_alone for name, knob in held)
    if chance.random() < (_AWAY_TO_MEET if is_met_alone else _AWAY):
        acts = (*acts, (_LEFT, State.RUNNING if is_met_alone else chance.choice(_STATES)))
    switches = tuple(
        (name, chosen | CLIMATES[name].way([knob for other, knob in held if other == name]))
        for name, chosen in weather.switches
    )
    asked_of = {(name, CLIMATES[name].asked_of.get(call)) for name, (_, call) in held}
    more = [(name, knob, dict[str, Option](event="error")) for name, knob in asked_of if knob]
    faults = weather.faults + (tuple(more) if chance.random() < _AWAY_TO_MEET else ())
    return replace(weather, wants=wants, acts=acts, switches=switches, faults=faults)


def _wants(chance: random.Random) -> Wants:
    bucket = chance.random() < _BUCKETS
    keeps = chance.random() < _KEPT
    reuses = keeps and chance.random() < 0.5
    return Wants(
        bucket=bucket,
        bucket_down_s=chance.choice((0.0, 0.0, 120.0, 7200.0)) if bucket else 0.0,
        keep_s=chance.choice((60.0, 600.0)) if keeps else 0.0,
        reuses=reuses,
        mishaps_later=reuses and chance.random() < 0.5,
        # Every home on the stage gives its run the same id, and so the same place in a bucket.
        beside=chance.random() < _BESIDE and not bucket,
    )


def _options(knob: Knob, chance: random.Random) -> dict[str, Option]:
    fault, call = knob
    options: dict[str, Option] = {"times": chance.choice((1, 1, 2, 4))}
    if call != "machine":
        options["after"] = chance.choice((0, 0, 0, 1, 3))
    if fault in STANDING:
        options["times"] = None if fault in LAGS else chance.choice((1, 3, 20))
    if fault == "timeout_after":
        options["seconds"] = _HANGS_S
    elif fault == "list_lag_s":
        options["seconds"] = chance.choice((2.0, 9.0))
    elif fault == "billing_lag_s":
        options["seconds"] = chance.choice((60.0, 3600.0))
    elif fault == "no_direct_ssh":
        options["seconds"] = chance.choice((None, 30.0, 100.0))
    elif fault == "rate_limit":
        options["seconds"] = chance.choice((1, 12, 40))
    elif call in ("machine", "start"):
        options["seconds"] = chance.choice((0.0, 5.0, 30.0, 100.0))
    elif fault == "5xx":
        options["status"] = chance.choice((500, 503, 524))
    return options


class Persistent(Process):
    """A person who submits again while the cloud cannot even be asked."""

    def submit(self) -> None:
        for _ in range(_TRIES):
            try:
                return super().submit()
            except GpuleaseError:
                self.stage.clock.advance(_AGAIN_S)
        return super().submit()
