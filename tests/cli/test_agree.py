from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_a_wrong_job_is_told_before_anybody_is_asked(
    gpulease: Gpulease, app: FakeApp, tmp_path: object
) -> None:
    ended = gpulease("submit", "no-such-file.yaml")

    assert ended.code == 2
    assert "no-such-file.yaml" in ended.err
    assert app.called("plan") == []


def test_json_never_asks(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    ended = gpulease("submit", job_file, "--max-cost", "2", "--json", stdin="y\n")

    assert ended.code == 2
    assert ended.json()["error"]["code"] == "usage"
    assert app.called("submit") == []
