from __future__ import annotations

import json

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, run_view


def test_log_lines_go_to_stdout_and_the_state_to_stderr(gpulease: Gpulease) -> None:
    ended = gpulease("attach", "last")

    assert ended.code == 0
    assert ended.out.startswith("first\nsecond\nthird\n")
    assert "tickets: running" in ended.err


def test_json_is_a_stream_of_lines(gpulease: Gpulease) -> None:
    events = [json.loads(line) for line in gpulease("attach", "last", "--json").out.splitlines()]

    assert [e["line"] for e in events if e["event"] == "log"] == ["first", "second", "third"]
    runs = [event for event in events if event["event"] == "run"]
    assert [run["state"] for run in runs] == ["booting", "running", "ended"]
    assert runs[-1]["returned"]["proven"]


def test_the_exit_code_is_the_runs(gpulease: Gpulease, app: FakeApp) -> None:
    app.last = run_view(exit_code=8)

    assert gpulease("attach", "last").code == 8
