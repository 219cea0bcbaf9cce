"""What happens to a run, besides its driver's death."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.runs.states import Outcome, State, Wish
from tests.crash.machine import Program
from tests.crash.stage import RUN_ID, Stage

SLEEP_S = 8 * 3600.0
_RESTART_S = 5.0
Act = Callable[[Stage], None]


@dataclass(frozen=True)
class Story:
    """One run. `meddle` is asked between two steps of the driver, `revive` after a death."""

    name: str
    ends: frozenset[tuple[Outcome, int]]
    begin: Act = lambda stage: None
    meddle: Act = lambda stage: None
    revive: Act = lambda stage: stage.clock.advance(_RESTART_S)
    program: Program = Program()
    max_cost: str = "0.50"
    hold: str = "15m"
    pace_s: float = 0.5

    @property
    def asleep(self) -> bool:
        return self.name.startswith("asleep")


def _fault(name: str, operation: str = "", **options: float) -> Act:
    return lambda stage: stage.cloud.fault(name, operation=operation, **options)


def _wish_when(state: State, wish: Wish) -> Act:
    def meddle(stage: Stage) -> None:
        run = stage.run
        if run.state is state and run.wish is Wish.GO_ON and (state is not State.RUNNING or run.checkpoint):
            stage.journal.wish(RUN_ID, wish)

    return meddle


def _cut_when(state: State) -> Act:
    def meddle(stage: Stage) -> None:
        if stage.run.state is state:
            for machine in stage.living():
                if not machine.is_cut:
                    stage.cloud.machine_fault(machine.id, "network_cut")

    return meddle


def _ends(*ends: tuple[Outcome, int]) -> frozenset[tuple[Outcome, int]]:
    return frozenset(ends)


_O = Outcome
_WELL = _ends((_O.SUCCEEDED, 0))
_LONG = Program(seconds=3000.0)

STORIES = {
    story.name: story
    for story in (
        Story("plain", _WELL),
        Story("reply lost", _WELL, _fault("reply_lost", "create")),
        Story("5xx after create", _WELL, _fault("5xx_after", "create")),
        Story("no capacity", _WELL, _fault("no_capacity")),
        Story("price above", _WELL, _fault("price_above", factor=2.0)),
        Story(
            "cancel while running",
            _ends((_O.CANCELLED, 9)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL),
            program=_LONG,
        ),
        Story(
            "cancel while booting",
            _ends((_O.CANCELLED, 9)),
            meddle=_wish_when(State.BOOTING, Wish.CANCEL),
        ),
        Story(
            "cancel --now",
            _ends((_O.CANCELLED, 8)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL_NOW),
            program=_LONG,
        ),
        Story(
            "cap reached",
            _ends((_O.CAPPED, 5)),
            program=_LONG,
            max_cost="0.024",
            hold="1m",
            pace_s=2.0,
        ),
        Story("program fails", _ends((_O.FAILED, 1)), program=Program(exit_code=3)),
        Story(
            "network cut",
            _ends((_O.SUCCEEDED, 8)),
            meddle=_cut_when(State.COLLECTING),
            max_cost="0.14",
            pace_s=60.0,
        ),
        Story("list lag", _WELL, _fault("list_lag_s", seconds=8.0)),
        Story("delete lies", _WELL, _fault("delete_lies")),
        Story("boot stuck", _WELL, _fault("boot_stuck"), pace_s=40.0),
        Story(
            "asleep for 8 h",
            _ends((_O.SUCCEEDED, 0), (_O.SUCCEEDED, 8), (_O.EXPIRED, 5), (_O.EXPIRED, 8)),
            revive=lambda stage: stage.sleep(SLEEP_S),
        ),
    )
}
