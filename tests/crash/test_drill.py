"""A drill leaves no machine, whether the guard works or not, wherever its driver dies, and under
whatever weather.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.lifecycle.drill import drill_cap_usd, drill_job, drill_material, with_cap
from orchestrator.lifecycle.plan import Material
from orchestrator.runs.states import Outcome
from tests.crash.exhaust import Theatre
from tests.crash.stage import Process
from tests.crash.stories import Story
from tests.crash.weather import Persistent, draw

_QUICK = 3
_STORIES = 80  # of random weather
_QUICK_STORIES = 4
_FEW_S = 5.0
_REFUSED: tuple[str, ...] = ()

DRILLS = (
    Story("drill", frozenset({(Outcome.SUCCEEDED, 0)}), pace_s=_FEW_S),
    Story(
        "drill, guard refused",
        frozenset({(Outcome.FAILED, 6)}),
        begin=lambda stage: stage.cloud.switch(pod_key_ways=_REFUSED),
        pace_s=_FEW_S,
        guarded=False,
    ),
)
drills = pytest.mark.parametrize("story", DRILLS, ids=lambda story: story.name)


class Drill(Process):
    """Submits a drill instead of the story's job."""

    def material(self) -> Material:
        capabilities = self.accounts.provider("runpod").capabilities
        offers = self.accounts.provider("runpod").list_offers(super().material().need)
        cheapest = min(offers, key=lambda offer: offer.price.usd_per_hour)
        (empty := self.stage.home / "drill").mkdir(exist_ok=True)
        job = with_cap(drill_job("runpod", empty), drill_cap_usd(cheapest, capabilities))
        return drill_material(job, "runpod", capabilities)


@pytest.mark.timeout(300)
@drills
def test_a_drill_whose_driver_dies_here_or_there_leaves_nothing(
    story: Story, tmp_path: Path
) -> None:
    theatre = Theatre(story, tmp_path, Drill)

    for point in random.Random(story.name).sample(theatre.deaths(), _QUICK):
        theatre.perform(point)


@pytest.mark.crash
@pytest.mark.timeout(600)
@drills
def test_a_drill_whose_driver_dies_anywhere_leaves_nothing(story: Story, tmp_path: Path) -> None:
    theatre = Theatre(story, tmp_path, Drill)

    for point in theatre.deaths():
        theatre.perform(point)


class PersistentDrill(Drill, Persistent):
    """Is submitted again while the cloud cannot even be asked."""


@pytest.mark.timeout(300)
def test_no_weather_has_a_drill_break_a_promise(tmp_path: Path) -> None:
    _drill_under(range(_QUICK_STORIES), tmp_path)


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_no_weather_has_a_drill_break_a_promise_in_many_runs(tmp_path: Path) -> None:
    _drill_under(range(_QUICK_STORIES, _STORIES), tmp_path)


def _drill_under(seeds: Iterable[int], folder: Path) -> None:
    for seed in seeds:
        weather = draw(seed)
        (own := folder / str(seed)).mkdir()
        # Whether it ends itself in time is what a drill is to find out.
        story = replace(weather.story(), pace_s=_FEW_S, guarded=False)
        Theatre(story, own, PersistentDrill).perform(*weather.kills)
