from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_open_runs_are_asked_for_and_with_all_every_one(gpulease: Gpulease, app: FakeApp) -> None:
    assert gpulease("ps").code == gpulease("ps", "--all").code == 0
    assert app.called("runs") == [False, True]


def test_json_has_the_runs_and_the_month(gpulease: Gpulease, app: FakeApp) -> None:
    answer = gpulease("ps", "--json").json()

    assert [run["state"] for run in answer["runs"]] == ["booting", "running", "ended"]
    assert answer["month"] == {
        "spent_usd": "12.5",
        "committed_usd": "1.92",
        "limit_usd": "100",
    }


def test_no_run_is_said(gpulease: Gpulease, app: FakeApp) -> None:
    app.views = []

    assert "no open run" in gpulease("ps").out
