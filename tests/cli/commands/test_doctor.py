from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_unknown_findings_do_not_fail(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("doctor")

    assert ended.code == 0
    assert "120 rows, 4 labels" in ended.out and "set HF_TOKEN" in ended.out


def test_a_bad_finding_is_exit_2_and_json_says_which(gpulease: Gpulease, app: FakeApp) -> None:
    app.findings.append(("label", False, "7 rows have none", "give each row a label"))

    ended = gpulease("doctor", "--json")

    assert (ended.code, ended.json()["ok"]) == (2, False)
    assert ended.json()["checks"][-1] == {
        "what": "label",
        "ok": False,
        "finding": "7 rows have none",
        "fix": "give each row a label",
    }


def test_a_drill_is_agreed_to_and_followed_to_its_receipt(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("doctor", "--drill", "runpod", "--yes")

    assert ended.code == 0
    assert app.called("plan_drill") == ["runpod"]
    assert len(app.called("submit")) == 1
    assert "count as drilled for 90 days" in ended.err


def test_a_drill_without_a_terminal_needs_a_yes(gpulease: Gpulease, app: FakeApp) -> None:
    ended = gpulease("doctor", "--drill", "runpod")

    assert ended.code == 2
    assert app.called("submit") == []


def test_a_drill_of_a_provider_that_has_nothing_rents_nothing(
    gpulease: Gpulease, app: FakeApp
) -> None:
    app.plan_view["offers"] = []

    assert gpulease("doctor", "--drill", "runpod", "--yes").code == 3


def test_what_nobody_has_tried_is_listed_with_what_is_done_meanwhile(
    gpulease: Gpulease, app: FakeApp
) -> None:
    page = gpulease("doctor", "--uncertain")
    listed = gpulease("doctor", "--uncertain", "--json").json()["doubts"]

    assert page.code == 0
    assert "how many calls?" in page.out and "60 a minute" in page.out
    assert listed[0]["check"] == "GPULEASE_LIVE=1 pytest tests/live/test_runpod.py -k quota"
    assert app.called("doctor") == []
