from __future__ import annotations

import pytest

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, open_view, run_view


@pytest.mark.parametrize("code", [0, 1, 5, 7, 8, 9])
def test_the_exit_code_is_the_runs_own(gpulease: Gpulease, app: FakeApp, code: int) -> None:
    app.last = run_view(exit_code=code)

    assert gpulease("receipt", "last").code == code


def test_an_open_run_has_no_receipt_and_json_shows_the_run(
    gpulease: Gpulease, app: FakeApp
) -> None:
    app.last = open_view("running")

    ended = gpulease("receipt", "last", "--json")

    assert ended.code == 2
    assert ended.json()["state"] == "running"
    assert ended.json()["error"]["hint"] == "gpulease attach runid123"
