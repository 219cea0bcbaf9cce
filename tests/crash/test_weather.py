"""Runs under random weather: every knob of the simulated RunPod, mishaps and deaths at once.

To tell one again: WEATHER=17 pytest tests/crash/test_weather.py -k chosen
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.crash.exhaust import Theatre
from tests.crash.weather import ACTS, KNOBS, Persistent, draw

_RUNS = 320
_QUICK = 8
_PART = 40  # runs of one test


def _tell(seeds: Iterable[int], folder: Path) -> None:
    for seed in seeds:
        weather = draw(seed)
        (own := folder / str(seed)).mkdir()
        Theatre(weather.story(), own, Persistent).perform(*weather.kills)


def test_every_knob_and_every_mishap_is_drawn() -> None:
    every = [draw(seed) for seed in range(_RUNS)]

    assert {knob for weather in every for knob, _ in weather.faults} == set(KNOBS)
    assert {act for weather in every for act, _ in weather.acts} == set(ACTS)


@pytest.mark.timeout(300)
def test_no_weather_breaks_a_promise(tmp_path: Path) -> None:
    _tell(range(_QUICK), tmp_path)


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(_QUICK, _RUNS, _PART))
def test_no_weather_breaks_a_promise_in_many_runs(first: int, tmp_path: Path) -> None:
    _tell(range(first, min(first + _PART, _RUNS)), tmp_path)


@pytest.mark.skipif("WEATHER" not in os.environ, reason="WEATHER chooses a number")
def test_a_chosen_weather_breaks_no_promise(tmp_path: Path) -> None:
    _tell([int(os.environ["WEATHER"])], tmp_path)
