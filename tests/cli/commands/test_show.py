from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, open_view


def test_an_open_run_is_shown_as_it_is(gpulease: Gpulease, app: FakeApp) -> None:
    app.last = open_view("booting", waiting="sshd does not answer yet")

    ended = gpulease("show", "last")

    assert ended.code == 0
    assert "open: booting" in ended.out and "sshd does not answer yet" in ended.out


def test_an_unknown_run_is_a_usage_error(gpulease: Gpulease) -> None:
    ended = gpulease("show", "nothing", "--json")

    assert ended.code == 2
    assert (ended.json()["run"], ended.json()["error"]["code"]) == (None, "usage")
