from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, run_view


def test_everything_home_is_exit_0(gpulease: Gpulease, app: FakeApp) -> None:
    assert gpulease("pull", "last", "--to", "there").code == 0
    assert app.called("pull") == [("runid123", Path("there"))]


def test_something_missing_is_exit_8_and_named(gpulease: Gpulease, app: FakeApp) -> None:
    app.last = run_view(artifacts_missing=["model/model.safetensors: the machine is gone"])

    ended = gpulease("pull", "last")

    assert ended.code == 8
    assert "the machine is gone" in ended.out
