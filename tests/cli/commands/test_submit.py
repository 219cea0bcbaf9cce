"""The flow of `gpulease submit`, without a terminal; test_terminal.py has the rest."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.errors import MissingCredentials, NoOffer
from orchestrator.runs.view import RunView
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp, open_view, run_view


def test_a_run_is_followed_to_its_receipt_and_ends_with_its_code(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2")

    assert ended.code == 0
    assert "Plan for tickets" in ended.err and "tickets: running" in ended.err
    assert "proven gone (provider)" in ended.out
    job, plan, options = app.called("submit")[0]
    assert job.budget.max_cost_usd == Decimal(2)
    assert plan["cap_usd"] == "2"
    assert not options.again and not options.detach and not options.ephemeral_keys


def test_without_a_terminal_and_without_yes_nothing_is_rented(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("submit", job_file, "--max-cost", "2")

    assert ended.code == 2
    assert "nothing was rented" in ended.err
    assert app.called("submit") == []


def test_yes_without_a_cap_is_refused_with_the_suggested_one(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.plan_view["cap_usd"] = None

    ended = gpulease("submit", job_file, "--yes")

    assert ended.code == 5
    assert "--max-cost 0.27" in ended.err
    assert app.called("submit") == []


def test_machines_that_cost_nothing_need_no_cap(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.plan_view["cap_usd"] = None
    app.plan_view["suggested_cap_usd"] = "0.00"

    assert gpulease("submit", job_file, "--yes", "--on", "local").code == 0
    assert app.called("submit")[0][0].providers == ("local",)


def test_json_is_one_object_of_the_published_shape(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--json")

    assert set(ended.json()) == set(RunView.__annotations__)
    assert ended.json()["run"] == "runid123"


def test_a_refusal_is_an_object_of_the_same_shape(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.errors["plan"] = MissingCredentials("no key for runpod", hint="gpulease login runpod")

    ended = gpulease("submit", job_file, "--json", "--yes", "--max-cost", "2")

    answer = ended.json()
    assert set(answer) == set(RunView.__annotations__)
    assert (ended.code, answer["exit_code"], answer["outcome"]) == (4, 4, "refused")
    assert (answer["run"], answer["name"], answer["kind"]) == (None, "tickets", "finetune")
    assert answer["error"] == {
        "code": "credentials",
        "problem": "no key for runpod",
        "hint": "gpulease login runpod",
    }


def test_no_offer_is_exit_3_and_the_hint_is_the_relaxation(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.plan_view["offers"] = []
    app.plan_view["relaxation"] = "trust: any would allow an A2 at $0.06/h"

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--json")

    assert ended.code == 3
    assert ended.json()["outcome"] == "no_capacity"
    assert ended.json()["error"]["hint"] == "trust: any would allow an A2 at $0.06/h"


def test_detach_returns_at_once_with_exit_0(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.last = open_view("planned")

    ended = gpulease(
        "submit", job_file, "--yes", "--max-cost=2", "--detach", "--ephemeral-keys", "--json"
    )

    assert ended.code == 0
    assert ended.json()["state"] == "planned"
    assert "gpulease attach runid123" in ended.err
    assert app.called("submit")[0][2].ephemeral_keys
    assert app.called("follow") == []


def test_a_second_submit_follows_the_first_and_says_so(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.is_new = False

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2")

    assert ended.code == 0
    assert "already open as runid123; --again makes another" in ended.err


def test_the_exit_code_is_the_runs(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    app.last = run_view(outcome="capped", exit_code=5)

    assert gpulease("submit", job_file, "--yes", "--max-cost", "2").code == 5


def test_a_job_comes_from_stdin_too(gpulease: Gpulease, app: FakeApp) -> None:
    text = "kind: finetune\nname: piped\ncode: {path: ., command: ./run}\n"

    assert gpulease("submit", "-", "--yes", "--max-cost", "2", stdin=text).code == 0
    assert app.called("submit")[0][0].name == "piped"


def test_every_mistake_of_the_job_is_shown_with_its_line(
    gpulease: Gpulease, tmp_path: Path
) -> None:
    job = tmp_path / "bad.yaml"
    job.write_text("kind: finetune\nnaem: tickets\nbudget: {max_cost: lots}\n")

    ended = gpulease("submit", str(job), "--yes")

    assert ended.code == 2
    assert ":2:" in ended.err and ":3:" in ended.err


def test_an_error_after_the_submit_names_the_run(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.errors["follow"] = NoOffer("the store is gone")

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--json")

    assert ended.json()["run"] == "runid123"
    assert ended.json()["error"]["problem"] == "the store is gone"


def test_with_a_wait_a_plan_without_offers_is_submitted(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.plan_view["offers"] = []

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--wait", "1h30m")

    assert ended.code == 0
    assert "nothing that is for rent now fits: something is waited for" in ended.err
    assert app.called("submit")[0][2].wait_s == 5400.0


@pytest.mark.parametrize("wait", ["soon", "0s", "8d"])
def test_a_wait_is_a_duration_of_at_most_a_week(
    gpulease: Gpulease, app: FakeApp, job_file: str, wait: str
) -> None:
    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--wait", wait)

    assert ended.code == 2
    assert "--wait" in ended.err
    assert app.called("plan") == []


def test_how_long_to_keep_and_what_to_reuse_reach_plan_and_submit(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease(
        "submit", job_file, "--yes", "--max-cost", "2", "--keep", "20m", "--reuse", "last"
    )

    assert ended.code == 0
    assert app.called("plan")[0][1:] == (0.0, 1200.0, "last")
    options = app.called("submit")[0][2]
    assert (options.keep_s, options.reuse) == (1200.0, "last")


def test_a_time_that_is_none_is_a_mistake(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    ended = gpulease("submit", job_file, "--yes", "--keep", "soon")

    assert ended.code == 2
    assert "--keep soon: must be a duration" in ended.err


def test_a_kept_machine_is_told_with_what_it_burns_and_the_code_is_the_job_s(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    returned = {"proven": False, "at": None}
    kept_until, burn = "2027-01-15T08:32:00Z", "0.69"
    kept = run_view(state="kept", returned=returned, kept_until=kept_until, burn_usd_per_hour=burn)
    app.views, app.last = [kept], kept

    ended = gpulease("submit", job_file, "--yes", "--max-cost", "2", "--keep", "20m")

    assert ended.code == 0
    assert "kept until" in ended.out and "$0.69/h" in ended.out
    assert "submit --reuse runid123" in ended.out
    assert "NOT PROVEN" not in ended.out + ended.err


def test_waiting_for_something_to_rent_does_not_go_with_a_kept_machine(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("submit", job_file, "--yes", "--wait", "1h", "--reuse", "last")

    assert ended.code == 2
    assert "--reuse rents nothing" in ended.err and "gpulease attach last" in ended.err
    assert app.called("submit") == []


def test_a_machine_that_is_waited_for_can_be_kept(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    cap = ("--max-cost", "2")
    ended = gpulease("submit", job_file, "--yes", *cap, "--wait", "1h", "--keep", "20m")

    assert ended.code == 0
    options = app.called("submit")[0][2]
    assert (options.wait_s, options.keep_s) == (3600.0, 1200.0)
