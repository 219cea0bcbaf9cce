from __future__ import annotations

import json

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_what_a_terminal_would_obey_is_taken_out(gpulease: Gpulease, app: FakeApp) -> None:
    app.log = ["\x1b]0;owned\x07loss \x1b[31m0.5\x1b[0m", "[bold]not markup[/bold]"]

    assert gpulease("logs", "last").out == "loss 0.5\n[bold]not markup[/bold]\n"


def test_follow_is_passed_on(gpulease: Gpulease, app: FakeApp) -> None:
    gpulease("logs", "last", "-f")

    assert app.called("log_lines") == [("runid123", True, 0)]


def test_json_is_one_object_a_line(gpulease: Gpulease) -> None:
    lines = gpulease("logs", "last", "--json").out.splitlines()

    assert json.loads(lines[1]) == {"offset": 2, "line": "second"}
