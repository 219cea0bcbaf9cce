from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_whose_it_is_and_what_it_burns(gpulease: Gpulease) -> None:
    ended = gpulease("machines")

    assert ended.code == 0
    assert "orphan" in ended.out and "together $0.69/h" in ended.out


def test_an_account_that_did_not_answer_is_exit_6(gpulease: Gpulease, app: FakeApp) -> None:
    app.failures = ["runpod: 503"]

    ended = gpulease("machines", "--json")

    assert ended.code == 6
    assert ended.json() == {
        "schema": 1,
        "machines": app.machines_found,
        "failures": ["runpod: 503"],
    }
