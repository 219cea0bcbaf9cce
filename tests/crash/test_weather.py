"""Runs under random weather: every knob of the simulated clouds, mishaps and deaths at once.

To tell one again: WEATHER=17 pytest tests/crash/test_weather.py -k chosen, with WEATHER_ON=vast
where it was told on vast, or WEATHER_ON=vast,runpod,lambda,paperspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from tests.crash.climates import CLIMATES
from tests.crash.exhaust import Theatre
from tests.crash.weather import ACTS, KNOBS, Persistent, Wants, draw

Met = tuple[str, str, str]

_RUNS = 320
_QUICK = 8
_PART = 40  # runs of one test
_ALL = ("vast", "runpod", "lambda", "paperspace")
_ELSEWHERE = {
    ("vast",): 520,
    ("lambda",): 440,
    ("paperspace",): 320,
    _ALL: 400,
}  # runs: with those above, 2,000
_QUICK_ELSEWHERE = 2
_DRAWN = 6000  # numbers among which each knob is looked for until it happens
_PARTS = [
    (providers, first)
    for providers, runs in _ELSEWHERE.items()
    for first in range(_QUICK_ELSEWHERE, runs, _PART)
]


def _tell(
    seeds: Iterable[int],
    folder: Path,
    providers: tuple[str, ...] = ("runpod",),
    *,
    described: bool = False,
) -> set[Met]:
    """Play them; gives provider, fault and operation of what happened.

    Args:
        described: whether each request and answer must be as it is described, or listed.
    """
    met: set[Met] = set()
    for seed in seeds:
        weather = draw(seed, providers)
        (own := folder / str(seed)).mkdir()
        theatre = Theatre(weather.story(), own, Persistent)
        theatre.perform(*weather.kills)
        met |= theatre.met
        assert not (described and theatre.compared.unlisted), theatre.compared.unlisted
    return met


def test_every_knob_and_every_mishap_is_drawn() -> None:
    every = [draw(seed) for seed in range(_RUNS)]

    assert {knob for weather in every for _, knob, _ in weather.faults} == set(KNOBS)
    assert {act for weather in every for act, _ in weather.acts} == set(ACTS)
    for wish in fields(Wants):
        assert {bool(getattr(one.wants, wish.name)) for one in every} == {True, False}, wish.name


@pytest.mark.timeout(300)
def test_no_weather_breaks_a_promise(tmp_path: Path) -> None:
    _tell(range(_QUICK), tmp_path, described=True)


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(_QUICK, _RUNS, _PART))
def test_no_weather_breaks_a_promise_in_many_runs(first: int, tmp_path: Path) -> None:
    _tell(range(first, min(first + _PART, _RUNS)), tmp_path)


@pytest.mark.parametrize("providers", _ELSEWHERE, ids="+".join)
def test_every_knob_of_each_provider_is_drawn(providers: tuple[str, ...]) -> None:
    every = [draw(seed, providers) for seed in range(_ELSEWHERE[providers])]

    drawn = {(name, knob) for weather in every for name, knob, _ in weather.faults}
    assert drawn == {(name, knob) for name in providers for knob in CLIMATES[name].knobs}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("providers", _ELSEWHERE, ids="+".join)
def test_no_weather_elsewhere_breaks_a_promise(providers: tuple[str, ...], tmp_path: Path) -> None:
    _tell(range(_QUICK_ELSEWHERE), tmp_path, providers, described=True)


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("providers", "first"), _PARTS)
def test_no_weather_elsewhere_breaks_a_promise_in_many_runs(
    providers: tuple[str, ...], first: int, tmp_path: Path
) -> None:
    _tell(range(first, min(first + _PART, _ELSEWHERE[providers])), tmp_path, providers)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("provider", CLIMATES)
def test_every_knob_happens_and_breaks_no_promise(provider: str, tmp_path: Path) -> None:
    """What was drawn need not happen: each knob is drawn again until some run has met it."""
    climate, on = CLIMATES[provider], (provider,)
    missing = set(climate.knobs) - set(climate.never)
    left = {seed: {knob for _, knob in draw(seed, on).may_meet} for seed in range(_DRAWN)}

    while missing:
        seed = max(left, key=lambda one: len(left[one] & missing))
        if not left.pop(seed) & missing:
            break
        missing -= {(fault, call) for _, fault, call in _tell([seed], tmp_path, on)}

    assert not missing


@pytest.mark.parametrize("provider", CLIMATES)
def test_what_never_happens_is_drawn_all_the_same(provider: str) -> None:
    climate = CLIMATES[provider]

    assert set(climate.never) <= set(climate.knobs)


@pytest.mark.skipif("WEATHER" not in os.environ, reason="WEATHER chooses a number")
def test_a_chosen_weather_breaks_no_promise(tmp_path: Path) -> None:
    providers = tuple(os.environ.get("WEATHER_ON", "runpod").split(","))
    _tell([int(os.environ["WEATHER"])], tmp_path, providers)
