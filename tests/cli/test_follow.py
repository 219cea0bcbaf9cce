from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.follow import RETURN_LIMIT_S, ReturnWatch
from orchestrator.cli.main import main
from orchestrator.clock import FakeClock
from orchestrator.runs.view import RunView
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, open_view, run_view


def test_a_return_is_overdue_after_ten_minutes_without_proof() -> None:
    clock = FakeClock()
    watch = ReturnWatch(clock)
    view = open_view("returning")

    assert not watch.overdue(view)
    clock.advance(RETURN_LIMIT_S - 1, asleep=True)
    assert not watch.overdue(view)
    clock.advance(1)
    assert watch.overdue(view)


def test_the_ten_minutes_begin_anew_when_another_machine_is_tried() -> None:
    clock = FakeClock()
    watch = ReturnWatch(clock)

    watch.overdue(open_view("returning"))
    clock.advance(RETURN_LIMIT_S)
    assert not watch.overdue(open_view("booting"))
    assert not watch.overdue(open_view("returning"))
    assert not watch.overdue(run_view(state="returning"))


class StuckApp(FakeApp):
    """Its machine does not go, while the simulated clock moves past every patience."""

    def __init__(self, offset: Path) -> None:
        super().__init__()
        self.offset = offset

    def follow(self, run_id: str) -> Iterator[RunView]:
        yield open_view("returning")
        self.offset.write_text(str(RETURN_LIMIT_S))
        yield open_view("returning")
        raise AssertionError("still followed")


def test_a_machine_that_does_not_go_is_exit_7_and_loud(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offset = tmp_path / "clock"
    offset.write_text("0")
    monkeypatch.setenv("GPULEASE_CLOCK", str(offset))

    code = main(["attach", "last"], lambda settings: StuckApp(offset))

    shown = capsys.readouterr().err
    assert code == 7
    assert "A MACHINE IS NOT PROVEN RETURNED AND MAY STILL BILL: runpod pod-1" in shown
    assert "gpulease close runid123 --seen-gone" in shown


def test_ctrl_c_leaves_the_run_alone_and_json_still_has_its_object(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.errors["follow"] = KeyboardInterrupt()
    app.last = open_view("running")

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--json")

    assert ended.code == 130
    assert ended.json()["state"] == "running"
    assert "the run goes on: gpulease attach runid123" in ended.err
    assert app.called("cancel") == []


def test_the_log_is_shown_once_over_several_attaches(gpulease: Gpulease, app: FakeApp) -> None:
    app.errors["follow"] = KeyboardInterrupt()
    assert gpulease("attach", "last").out == "first\nsecond\nthird\n"

    app.log.append("fourth")
    del app.errors["follow"]

    assert gpulease("attach", "last").out.startswith("fourth\n")


class InterruptedApp(FakeApp):
    """Ctrl-C is pressed while its log is read."""

    def log_lines(self, run_id: str, *, follow: bool, offset: int = 0) -> Iterator[tuple[int, str]]:
        for after, line in super().log_lines(run_id, follow=follow, offset=offset):
            yield after, line
            if line == "second":
                os.kill(os.getpid(), signal.SIGINT)


class InterruptedStream(io.StringIO):
    """Ctrl-C is pressed while a line is written."""

    def write(self, text: str) -> int:
        if text == "second\n":
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)


def test_ctrl_c_between_two_lines_loses_none_and_shows_none_twice(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attach", "last"], lambda settings: InterruptedApp()) == 130
    assert capsys.readouterr().out == "first\nsecond\n"

    assert main(["attach", "last"], lambda settings: FakeApp()) == 0
    assert capsys.readouterr().out.startswith("third\n")


def test_ctrl_c_within_a_line_waits_for_its_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        stream = InterruptedStream()
        patched.setattr("sys.stdout", stream)
        assert main(["attach", "last"], lambda settings: FakeApp()) == 130
    assert stream.getvalue() == "first\nsecond\n"

    assert main(["attach", "last"], lambda settings: FakeApp()) == 0
    assert capsys.readouterr().out.startswith("third\n")


def test_a_pipe_is_given_every_line(gpulease: Gpulease, app: FakeApp) -> None:
    app.log = [f"line {number}" for number in range(1000)]

    lines = gpulease("attach", "last").out.splitlines()

    assert lines[:1000] == app.log


def test_a_spoilt_note_of_where_the_log_stood_begins_anew(gpulease: Gpulease, home: Path) -> None:
    (home / "seen").mkdir(parents=True)
    (home / "seen" / "runid123").write_text("nonsense")

    assert gpulease("attach", "last").out.startswith("first\n")


def test_what_a_submit_did_not_show_is_left_for_attach(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    gpulease("submit", job_file, "--yes", "--max-cost", "2")

    assert gpulease("attach", "last").out.startswith("first\n")
