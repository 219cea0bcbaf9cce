from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_the_plan_is_the_answer_and_spends_nothing(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("plan", job_file, "--max-cost", "2", "--max-duration", "1h", "--set", "name=x")

    assert ended.code == 0
    assert ended.out.startswith("Plan for tickets (finetune)")
    job = app.called("plan")[0][0]
    assert (job.name, job.budget.max_duration_s) == ("x", 3600)
    assert app.called("submit") == []


def test_nothing_that_fits_is_exit_3_and_says_what_would_help(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.plan_view["offers"] = []
    app.plan_view["relaxation"] = "24 GiB instead of 80"

    ended = gpulease("plan", job_file)

    assert ended.code == 3
    assert "24 GiB instead of 80" in ended.out


def test_json_is_the_plan(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    assert gpulease("plan", job_file, "--json").json() == {
        **app.plan_view,
        "sizing": [list(part) for part in app.plan_view["sizing"]],
    }
