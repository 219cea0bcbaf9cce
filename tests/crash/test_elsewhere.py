"""The stories of Vast.ai, Lambda and all providers at once, with their driver dying at any line.

To tell one again: CRASH_AT=13 pytest tests/crash/test_elsewhere.py -k "vast and plain and chosen".
Other points are drawn with, say, CRASH_DRAW=2.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.crash.elsewhere import ELSEWHERE
from tests.crash.exhaust import Theatre
from tests.crash.stories import Story

_SOME = 24  # points of each story in the long run
_QUICK = 1  # deaths of each story of these in the quick one
_QUICKLY = ("vast: plain", "lambda: reply lost", "all: Vast.ai never boots")

stories = pytest.mark.parametrize("story", ELSEWHERE.values(), ids=lambda story: story.name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", _QUICKLY)
def test_a_driver_that_dies_here_or_there_breaks_no_promise_elsewhere(
    name: str, tmp_path: Path
) -> None:
    theatre = Theatre(ELSEWHERE[name], tmp_path)

    for point in random.Random(name).sample(theatre.deaths(), _QUICK):
        theatre.perform(point)


@pytest.mark.crash
@pytest.mark.timeout(1800)
@stories
def test_a_driver_that_dies_at_many_points_breaks_no_promise_elsewhere(
    story: Story, tmp_path: Path
) -> None:
    theatre = Theatre(story, tmp_path)
    points = theatre.deaths()

    chance = random.Random(story.name + os.environ.get("CRASH_DRAW", ""))
    for point in chance.sample(points, min(_SOME, len(points))):
        theatre.perform(point)


@pytest.mark.skipif("CRASH_AT" not in os.environ, reason="CRASH_AT chooses a point")
@stories
def test_a_driver_that_dies_at_a_chosen_point_breaks_no_promise_elsewhere(
    story: Story, tmp_path: Path
) -> None:
    kills = [int(one) for one in os.environ["CRASH_AT"].split(",") if one]
    Theatre(story, tmp_path).perform(*kills)
