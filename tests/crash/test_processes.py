"""Whoever is killed with SIGKILL, wherever: the next command brings the run to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.process_campaign import Campaign, summary
from tests.crash.process_stories import STORIES, Story
from tests.crash.processes import Played

pytestmark = pytest.mark.root
SEED = 2
KILLS = 210
KILLS_IN_CI = 10


def _say(played: list[Played]) -> str:
    return "\n\n".join(f"{one}\n{chr(10).join(one.broken)}\n{one.report}" for one in played)
