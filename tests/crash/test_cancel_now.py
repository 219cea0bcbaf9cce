"""`cancel --now` in every open state of a run: its machine goes back, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.runs.states import MOVES, Outcome, State, Wish
from tests.crash.acts import fault
from tests.crash.exhaust import Theatre
from tests.crash.stage import RUN_ID, Stage
from tests.crash.stories import Story

_UNTOUCHED = (Outcome.CANCELLED, 9)  # no program can have made anything yet
_LOSES = (Outcome.CANCELLED, 8)  # and the receipt says what
_WAS_OVER = (Outcome.SUCCEEDED, 0)
ENDS = {
    State.PLANNED: _UNTOUCHED,
    State.RENTING: _UNTOUCHED,
    State.LOOKING: _UNTOUCHED,
    State.BOOTING: _UNTOUCHED,
    State.SHIPPING: _UNTOUCHED,
    State.SETTING_UP: _LOSES,
    State.RUNNING: _LOSES,
    State.COLLECTING: _LOSES,
    State.KEPT: _WAS_OVER,
    State.RETURNING: _WAS_OVER,
}
OPEN = [state for state, moves in MOVES.items() if moves]


@pytest.mark.parametrize("state", OPEN)
def test_cancel_now_returns_the_machine_whatever_the_run_is_at(
    state: State, tmp_path: Path
) -> None:
    said_s: list[float] = []
    over_s: list[float] = []

    def meddle(stage: Stage) -> None:
        if said_s and not stage.living():
            over_s.append(stage.clock.now_s())
        if stage.run.state is state and not said_s:
            stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)
            said_s.append(stage.clock.now_s())

    story = Story(
        f"cancel --now while {state}",
        frozenset({ENDS[state]}),
        begin=fault("reply_lost", "create") if state is State.LOOKING else lambda stage: None,
        meddle=meddle,
        keep_s=600.0 if state is State.KEPT else 0.0,
    )

    Theatre(story, tmp_path).perform()

    assert over_s[0] - said_s[0] < 60, "its machine lived on"
