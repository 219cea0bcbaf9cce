"""Starting and reaching the driver of a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.calling import call_driver
from orchestrator.lifecycle.driver import driver_lives, driver_lock
from orchestrator.lifecycle.talking import Line


def test_a_driver_without_work_starts_and_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "never-in-its-environment")
    calls: list[int] = []

    call_driver(
        tmp_path,
        SystemClock(),
        version=__version__,
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
        call(tmp_path, Hurried())
    assert "driver.log" in caught.value.hint


@pytest.mark.parametrize("version", ["9.0", __version__])
def test_a_driver_of_this_version_or_a_newer_one_is_left_alone(
    short_home: Path, version: str
) -> None:
    with driver_lock(short_home), Line(short_home, version, lambda _: None).open():
        call(short_home, SystemClock())

    assert not (short_home / "driver.log").exists()


def test_an_older_driver_that_does_not_make_room_in_time_goes_on(short_home: Path) -> None:
    class Hurried(SystemClock):
        def elapsed_s(self) -> float:
            ticks.append(1)
            return 5.0 * len(ticks)

    ticks: list[int] = []
    (short_home / "home.json").write_text("{}")  # no driver of this version can start
    heard: list[str] = []
    with (
        driver_lock(short_home),
        Line(short_home, "0.0.1", lambda said: heard.append(str(said.get("nudge")))).open(),
    ):
        call(short_home, Hurried(), nudge="r1")

    assert heard[0] == heard[-1] == "r1"


def call(folder: Path, clock: Clock, nudge: str = "") -> None:
    call_driver(
        folder,
        clock,
        version=__version__,
        keys={},
        hidden=set(),
        nudge=nudge,
        is_over=lambda: False,
    )
