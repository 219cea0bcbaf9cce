from __future__ import annotations

from orchestrator.spec.resources import Need
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_what_is_asked_becomes_the_need(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("offers", "--gpu", "RTX 4090", "--memory", "20", "--on", "runpod")

    assert ended.code == 0
    need = Need(gpu_memory_gib=20.0, gpu_names=("RTX 4090",))
    assert app.called("offers") == [(need, ["runpod"])]
    assert "$0.69" in ended.out


def test_a_provider_that_failed_is_said_beside_the_others(gpulease: Gpulease, app: FakeApp) -> None:
    app.failures = ["vast: 503"]

    ended = gpulease("offers", "--json")

    assert ended.code == 0
    assert ended.json()["failures"] == ["vast: 503"]
    assert "vast: 503" in ended.err


def test_nothing_for_rent_is_exit_3_and_nothing_known_is_6(
    gpulease: Gpulease, app: FakeApp
) -> None:
    app.plan_view["offers"] = []
    assert gpulease("offers").code == 3

    app.failures = ["runpod: 503"]
    assert gpulease("offers").code == 6


def test_bids_are_asked_for_in_a_word_of_their_own(gpulease: Gpulease, app: FakeApp) -> None:
    gpulease("offers", "--spot")

    assert app.called("offers") == [(Need(spot=True), [])]
