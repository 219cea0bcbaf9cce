from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, run_view


def test_the_wish_is_recorded_and_the_command_returns(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("cancel", "last")

    assert ended.code == 0
    assert app.called("cancel") == [("runid123", False)]
    assert app.called("find") == [("last", True)]
    assert "gpulease attach runid123" in ended.err


def test_now_says_what_is_lost(gpulease: Gpulease, app: FakeApp) -> None:
    app.views[0]["artifacts_missing"] = ["model/model.safetensors"]

    ended = gpulease("cancel", "last", "--now")

    assert app.called("cancel") == [("runid123", True)]
    assert "lost: model/model.safetensors" in ended.err


def test_wait_stays_to_the_proof_and_a_cancelled_run_is_success(
    gpulease: Gpulease, app: FakeApp
) -> None:
    app.last = run_view(outcome="cancelled", exit_code=9)
    assert gpulease("cancel", "last", "--wait").code == 0

    app.last = run_view(outcome="cancelled", exit_code=7)
    assert gpulease("cancel", "last", "--wait").code == 7
