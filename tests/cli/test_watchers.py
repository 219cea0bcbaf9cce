from __future__ import annotations

import pytest

from orchestrator.cli.options import GlobalOptions
from orchestrator.cli.session import Session
from orchestrator.cli.watchers import PlainWatcher
from orchestrator.clock import FakeClock
from tests.cli.fake_app import FakeApp, open_view


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watcher(clock: FakeClock, home: object) -> PlainWatcher:
    session = Session(GlobalOptions(), lambda settings: FakeApp())
    session.clock = clock
    return PlainWatcher(session, with_log=False)


def test_a_change_of_state_is_told_at_once_and_progress_now_and_then(
    watcher: PlainWatcher, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher.show(open_view("booting", progress={}))
    for step in range(1, 21):
        watcher.show(open_view("running", progress={"step": step}))
        clock.advance(1)

    steps = [line for line in capsys.readouterr().err.splitlines() if "step" in line]
    assert [line.split("step ")[1].split(",")[0] for line in steps] == ["1", "6", "11", "16"]


def test_silence_stays_silent(
    watcher: PlainWatcher, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        watcher.show(open_view("running"))
        clock.advance(60)

    assert capsys.readouterr().err.count("\n") == 1


def test_each_note_is_told_once(
    watcher: PlainWatcher, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    for notes in ([], ["the balance runs low"], ["the balance runs low", "a"]):
        watcher.show(open_view("running", notes=notes))
        clock.advance(10)

    assert capsys.readouterr().err.count("the balance runs low") == 1
