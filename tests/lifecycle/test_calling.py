"""Starting and reaching the driver of a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.calling import call_driver
from orchestrator.lifecycle.driver import driver_lives


def test_a_driver_without_work_starts_and_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "never-in-its-environment")
    calls: list[int] = []

    call_driver(
        tmp_path,
        SystemClock(),
        keys={},
        hidden={"RUNPOD_API_KEY"},
        nudge="",
        is_over=lambda: bool(calls),
    )

    log = (tmp_path / "driver.log").read_text()
    assert "never-in-its-environment" not in log
    until_s = SystemClock().elapsed_s() + 30
    while driver_lives(tmp_path) and SystemClock().elapsed_s() < until_s:
        pass
    assert not driver_lives(tmp_path)


def test_a_home_whose_driver_cannot_start_says_where_its_words_are(tmp_path: Path) -> None:
    class Hurried(SystemClock):
        def elapsed_s(self) -> float:
            ticks.append(1)
            return 30.0 * len(ticks)

    ticks: list[int] = []
    (tmp_path / "home.json").write_text("{}")  # no home: the driver ends at once

    with pytest.raises(HomeError, match="does not start") as caught:
        call_driver(tmp_path, Hurried(), keys={}, hidden=set(), nudge="", is_over=lambda: False)
    assert "driver.log" in caught.value.hint
