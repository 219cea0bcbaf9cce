from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_only_seen_gone_closes(gpulease: Gpulease, app: FakeApp) -> None:
    assert gpulease("close", "last").code == 2
    assert app.called("close_seen_gone") == []


def test_without_a_terminal_the_name_must_be_given(gpulease: Gpulease, app: FakeApp) -> None:
    for arguments in ((), ("--yes-i-saw-it-gone", "other")):
        ended = gpulease("close", "last", "--seen-gone", *arguments)

        assert ended.code == 2
        assert "nothing was changed" in ended.err
    assert app.called("close_seen_gone") == []


def test_closed_by_a_person_is_exit_7_because_it_is_not_proven(
    gpulease: Gpulease, app: FakeApp
) -> None:
    ended = gpulease("close", "last", "--seen-gone", "--yes-i-saw-it-gone", "tickets", "--json")

    assert ended.code == 7
    assert ended.json()["returned"] == {"proven": False, "by": "user", "at": None}
    assert app.called("close_seen_gone") == ["runid123"]
