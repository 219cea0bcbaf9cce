from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.artifacts.s3 import S3
from orchestrator.errors import HomeError
from orchestrator.lifecycle.heartbeat import (
    FRESH_S,
    Heartbeat,
    HeartbeatPlace,
    to_heartbeat,
    watched,
)
from tests.conventions.source import PROJECT
from tests.runs.samples import NOW_S

HEARTBEAT = Heartbeat(NOW_S, {"lambda": "user:u1,key:aa", "runpod": "key:bb"})


def no_s3() -> S3:
    raise AssertionError("nothing lies in a bucket")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    place = HeartbeatPlace(str(tmp_path / "heartbeat"), no_s3)
    assert place.read() is None

    place.write(HEARTBEAT)

    assert place.read() == HEARTBEAT
    assert [path.name for path in tmp_path.iterdir()] == ["heartbeat"]


def test_without_a_place_nobody_watches() -> None:
    assert HeartbeatPlace("", no_s3).read() is None
    assert watched(None, ["lambda"], lambda name: "user:u1", NOW_S) == frozenset()


def test_a_place_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="the heartbeat cannot be written"):
        HeartbeatPlace(str(tmp_path / "away" / "heartbeat"), no_s3).write(HEARTBEAT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"at": true, "accounts": {}}',
        b'{"at": 1e400, "accounts": {}}',
        b'{"at": "now", "accounts": {}}',
        b'{"at": 5, "accounts": ["lambda"]}',
        b"[" * 100_000,
        b'{"at": 5, "accounts": {"lambda": "' + b"a" * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_heartbeat_is_none(data: bytes) -> None:
    assert to_heartbeat(data) is None


@pytest.mark.parametrize(
    ("identity", "later_s", "is_watched"),
    [
        ("user:u1,key:zz", 0, True),
        ("user:u1", 600, True),
        ("user:u1", 601, False),
        ("user:u1", -60, True),
        ("user:u1", -61, False),
        ("user:u2,key:aa", 0, False),
        ("", 0, False),
    ],
)
def test_a_reaper_watches_an_account_for_ten_minutes_after_it_searched_it(
    identity: str, later_s: float, is_watched: bool
) -> None:
    found = watched(HEARTBEAT, ["lambda", "vast"], lambda name: identity, NOW_S + later_s)

    assert found == ({"lambda"} if is_watched else set())


def test_the_units_of_a_reaper_search_often_enough_for_a_plan_to_rely_on_it() -> None:
    reaper = PROJECT / "infra/reaper"
    timer = (reaper / "gpulease-reaper.timer").read_text()
    (minutes,) = re.findall(r"^OnUnitActiveSec=(\d+)min$", timer, re.MULTILINE)

    crontab = (reaper / "crontab").read_text()
    assert re.findall(r"^\*/(\d+) \* \* \* \* ", crontab, re.MULTILINE) == [minutes]
    assert 2 * 60 * int(minutes) < FRESH_S, "one search may fail"
