from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_without_delete_it_only_shows(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("reap")

    assert app.called("reap") == [(False, False)]
    assert "1 would be returned by --delete" in ended.out
    assert "runpod: 1 machine" in ended.err


def test_the_wishes_are_passed_on(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("reap", "--delete", "--past-deadline", "--json")

    assert app.called("reap") == [(True, True)]
    assert ended.json()["deleted"] is True
