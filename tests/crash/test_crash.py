"""A driver may die at any line: before and after every provider call and every write.

To tell one again: CRASH_AT=13 pytest tests/crash/test_crash.py -k "plain and chosen", or
CRASH_AT=13,40 for a second death of the process that took over.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.crash.exhaust import Theatre
from tests.crash.stories import STORIES, Story

_QUICK = {"plain": 20, "reply lost": 8}  # points of the quick run; of any other story:
_QUICK_OTHERS = 2
_TWICE = 12

stories = pytest.mark.parametrize("story", STORIES.values(), ids=lambda story: story.name)


@pytest.mark.timeout(600)
@stories
def test_a_driver_that_dies_here_or_there_breaks_no_promise(story: Story, tmp_path: Path) -> None:
    theatre = Theatre(story, tmp_path)
    points = theatre.deaths()

    some = random.Random(story.name).sample(points, _QUICK.get(story.name, _QUICK_OTHERS))
    for point in some:
        theatre.perform(point)


@pytest.mark.crash
@pytest.mark.timeout(900)
@stories
def test_a_driver_that_dies_anywhere_breaks_no_promise(story: Story, tmp_path: Path) -> None:
    theatre = Theatre(story, tmp_path)
    points = theatre.deaths()

    for point in points:
        theatre.perform(point)


@pytest.mark.crash
@pytest.mark.timeout(900)
@stories
def test_a_driver_that_dies_twice_breaks_no_promise(story: Story, tmp_path: Path) -> None:
    theatre = Theatre(story, tmp_path)
    points = theatre.deaths()
    chance = random.Random(f"{story.name}, twice")

    for _ in range(_TWICE):
        theatre.perform(chance.choice(points), chance.randrange(60))


@pytest.mark.skipif("CRASH_AT" not in os.environ, reason="CRASH_AT chooses a point")
@stories
def test_a_driver_that_dies_at_a_chosen_point_breaks_no_promise(
    story: Story, tmp_path: Path
) -> None:
    Theatre(story, tmp_path).perform(*map(int, os.environ["CRASH_AT"].split(",")))
