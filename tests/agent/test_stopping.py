from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agent.clock import Clock
from orchestrator.agent.stopping import StopWish


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    """The file that moves the wish's clock."""
    path = tmp_path / "clock"
    path.write_text("0")
    return path


@pytest.fixture
def wish(offset: Path) -> StopWish:
    return StopWish(Clock(str(offset)))


def test_the_first_wish_says_why(wish: StopWish) -> None:
    assert not wish.is_asked()

    wish.ask("stopped", 60, "cancelled")
    wish.ask("deadline", 60)

    assert (wish.why, wish.reason) == ("stopped", "cancelled")


def test_grace_runs_out(wish: StopWish, offset: Path) -> None:
    wish.ask("stopped", 60)
    assert not wish.is_overdue()

    offset.write_text("61")

    assert wish.is_overdue()


def test_a_later_wish_can_hurry_but_not_delay(wish: StopWish, offset: Path) -> None:
    wish.ask("stopped", 60)
    wish.ask("deadline", 600)
    wish.ask("deadline", 5)

    offset.write_text("6")

    assert wish.is_overdue()


def test_a_sleeper_wakes_when_the_wish_comes(wish: StopWish) -> None:
    wish.ask("stopped", 60)

    assert wish.wait(3600)
