"""What may happen to a workstation and to the computer that uses it, drawn by a number.

To tell one again: WEATHER=7 pytest tests/e2e/test_workstation_weather.py -k chosen
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation

_RUNS = 24
_QUICK = (3, 4)  # a restart takes a minute and a half to be told from silence
_STEPS = 6


@dataclass
class Scene:
    """Somebody, their workstation, and the job that waits at a step for a word."""

    owner: Person
    tower: Workstation

    def folders(self) -> list[Path]:
        return list(self.tower.home.glob("gpulease/gl1-*"))

    def driver_dies(self) -> None:
        self.owner.kills_driver()
        self.owner.types("ps")  # the next command starts another

    def goes_off(self) -> None:
        """Nobody answers for a while; what runs there goes on."""
        self.tower.sshd.stop()
        self.owner.waits(lambda view: "does not answer" in view["waiting"] or view["outcome"])
        self.tower.sshd.start()

    def reboots(self) -> None:
        self.tower.reboots()

    def loses_its_gpu(self) -> None:
        """Somebody else begins to use it."""
        self.tower.has_gpus(9_000)

    def is_cut(self) -> None:
        self.tower.sshd.cut()

    def is_cancelled(self) -> None:
        self.owner.types("cancel", "mine")


EVENTS: dict[str, Callable[[Scene], None]] = {
    "the driver dies": Scene.driver_dies,
    "the workstation is off": Scene.goes_off,
    "the workstation reboots": Scene.reboots,
    "the GPU is taken": Scene.loses_its_gpu,
    "connections are cut": Scene.is_cut,
    "cancel": Scene.is_cancelled,
}


def draw(seed: int) -> tuple[int, list[str], list[str]]:
    """At which step the program waits, what happens at once, and what happens while it waits."""
    chance = random.Random(f"workstation {seed}")
    early = chance.sample(["the driver dies", "the GPU is taken", "connections are cut"], 1)
    late = chance.sample(sorted(EVENTS), chance.choice((1, 1, 2, 3)))
    return chance.randint(1, 4), early if chance.random() < 0.4 else [], late


def tell(seed: int, owner: Person, tower: Workstation) -> None:
    """One run under that weather; what must hold at its end."""
    step, early, late = draw(seed)
    scene = Scene(owner, tower)
    before = tower.listing()
    owner.submits(own_code(owner, training(steps=_STEPS, waits_at=step)), "--on", "ssh_host")
    for name in early:
        EVENTS[name](scene)
    owner.waits(lambda view: view["progress"].get("step", 0) >= step)
    for name in late:
        EVENTS[name](scene)
        assert len(scene.folders()) <= 1, (seed, name)
    for folder in scene.folders():
        (folder / "code/go").touch()

    ended = owner.types("attach", "mine", limit_s=200.0)

    view = owner.view()
    told = f"{seed}: {early} {late}: {view['outcome']}, {view['error']}\n{owner.driver_log()}"
    assert view["returned"]["proven"] is True, told
    assert tower.listing() == before, told
    assert tower.processes() == [], told
    assert ended.code == view["exit_code"], told
    _check_outcome(view, late, told)


def _check_outcome(view: dict[str, object], late: list[str], told: str) -> None:
    outcome = view["outcome"]
    if "cancel" not in late:
        assert outcome == "succeeded", told
    if outcome == "succeeded":
        trained = json.loads(Path(str(view["artifacts_dir"]), "trained.json").read_text())
        assert trained["steps"] == list(range(1, _STEPS + 1)), told
        assert view["artifacts_missing"] == [], told
    else:
        assert outcome == "cancelled", told


def test_every_event_is_drawn() -> None:
    assert {name for seed in range(_RUNS) for name in draw(seed)[2]} == set(EVENTS)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", _QUICK)
def test_no_weather_leaves_anything_on_a_workstation(
    seed: int, owner: Person, tower: Workstation
) -> None:
    tell(seed, owner, tower)


@pytest.mark.crash
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", sorted(set(range(_RUNS)) - set(_QUICK)))
def test_no_weather_leaves_anything_on_a_workstation_in_many_runs(
    seed: int, owner: Person, tower: Workstation
) -> None:
    tell(seed, owner, tower)


@pytest.mark.skipif("WEATHER" not in os.environ, reason="WEATHER chooses a number")
@pytest.mark.timeout(240)
def test_a_chosen_weather_leaves_nothing(owner: Person, tower: Workstation) -> None:
    tell(int(os.environ["WEATHER"]), owner, tower)
