"""Whoever is killed with SIGKILL, wherever: the next command brings the run to its end."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from infra.demo import bare_environment
from infra.pip_to_uv import uv_environment
from tests.crash.process_campaign import Campaign, summary
from tests.crash.process_stories import OWN_STORIES, STORIES, Story
from tests.crash.processes import Played

SEED = 1
KILLS = 210  # of all stories together, each at a point that was drawn
KILLS_ON_OWN = 60  # of the stories on a workstation
KILLS_IN_CI = 10
STORIES_IN_CI = 8  # drawn; a quiet run of each is told too
# Half a minute each, or more: too long for CI.
LONG = (
    *("asleep", "key_refused", "taken_away"),
    *("two_homes", "on_lambda", "lost_on_lambda", "on_paperspace"),
)

pytestmark = pytest.mark.root


def _play(
    folder: Path, stories: tuple[Story, ...], kills: int, workers: int, *, seed: int
) -> list[Played]:
    base = bare_environment(os.environ)
    environment = base | uv_environment(base)
    campaign = Campaign(folder, environment, seed=seed, workers=workers, report=print)
    played = campaign.run(stories, kills)
    print(summary(played))
    return played


def _broken(played: list[Played]) -> str:
    found = [one for one in played if one.broken]
    return "\n\n".join(f"{one}: {'; '.join(one.broken)}\n{one.report}" for one in found)


@pytest.mark.timeout(300)
def test_ten_deaths_leave_no_machine_and_no_cent_behind(tmp_path: Path) -> None:
    short = [story for story in STORIES if story.name not in LONG]
    drawn = tuple(random.Random(SEED).sample(short, STORIES_IN_CI))
    played = _play(tmp_path, drawn, KILLS_IN_CI, 4, seed=SEED)

    assert not _broken(played), _broken(played)
    assert sum(bool(one.killed) for one in played) >= KILLS_IN_CI


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_two_hundred_deaths_leave_no_machine_and_no_cent_behind(tmp_path: Path) -> None:
    played = _play(tmp_path, STORIES, KILLS, 6, seed=SEED + 1)

    assert not _broken(played), _broken(played)
    assert sum(bool(one.killed) for one in played) >= KILLS


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_sixty_deaths_leave_a_workstation_as_it_was(tmp_path: Path) -> None:
    played = _play(tmp_path, OWN_STORIES, KILLS_ON_OWN, 4, seed=SEED + 2)

    assert not _broken(played), _broken(played)
    assert sum(bool(one.killed) for one in played) >= KILLS_ON_OWN
