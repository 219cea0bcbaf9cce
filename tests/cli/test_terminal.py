"""What a person at a terminal sees: the question, the live view, Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start(home: Path) -> Start:
    """A program on a terminal of its own, under the test's home."""

    def begin(*arguments: str, columns: int = 100, **environment: str) -> Terminal:
        inherited = {name: value for name, value in os.environ.items() if name != "TERM"}
        return Terminal(*arguments, environment={**inherited, **environment}, columns=columns)

    return begin


def test_one_question_is_asked_and_yes_goes_on_to_the_receipt(start: Start, job_file: str) -> None:
    with start("submit", job_file, "--max-cost", "2") as terminal:
        terminal.wait_for("Rent, for at most $2.00? [y/N]")
        terminal.type("y\n")

        assert terminal.end() == 0
        assert "outcome   succeeded" in terminal.text
        assert terminal.text.count("[y/N]") == 1


def test_anything_but_yes_rents_nothing(start: Start, job_file: str) -> None:
    with start("submit", job_file, "--max-cost", "2") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("\n")

        assert terminal.end() == 9
        assert "nothing was rented" in terminal.text


def test_a_job_without_a_cap_is_offered_the_suggested_one(start: Start, job_file: str) -> None:
    with start("submit", job_file, FAKE_NO_CAP="1") as terminal:
        terminal.wait_for("The job has no max_cost. Rent, with a cap of $0.27? [y/N]")
        terminal.type("yes\n")

        assert terminal.end() == 0
        assert terminal.text.count("[y/N]") == 1


def test_whoever_waits_for_capacity_is_asked_until_when(start: Start, job_file: str) -> None:
    arguments = ("submit", job_file, "--max-cost", "2", "--wait", "6h")
    with start(*arguments, FAKE_SOLD_OUT="1") as terminal:
        terminal.wait_for("Wait until 2027-01-15 08:15:00 UTC, then rent, for at most $2.00? [y/N]")
        terminal.type("y\n")

        assert terminal.end() == 0


def test_ctrl_c_at_the_question_rents_nothing(start: Start, job_file: str) -> None:
    with start("submit", job_file, "--max-cost", "2") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("\x03")

        assert terminal.end() == 130
        assert "interrupted" in terminal.text
        assert "Traceback" not in terminal.text


def test_ctrl_c_while_following_says_that_the_run_goes_on(start: Start, job_file: str) -> None:
    with start("submit", job_file, "--yes", "--max-cost", "2", FAKE_SLOW="1") as terminal:
        terminal.wait_for("step 3/600")
        terminal.type("\x03")

        assert terminal.end() == 130
        assert "the run goes on: gpulease attach runid123" in terminal.text
        assert "Traceback" not in terminal.text


def test_the_live_view_stands_below_the_log_and_is_redrawn_in_place(
    start: Start, job_file: str
) -> None:
    with start("submit", job_file, "--yes", "--max-cost", "2", FAKE_SLOW="1") as terminal:
        terminal.wait_for("step 5/600")
        shown = terminal.text
        assert shown.count("tickets: running") == shown.count("step 5/600") == 1
        assert "▄" in shown and "loss 1.4 to 0.7 at step 40" in shown
        assert shown.index("third") < shown.index("tickets: running")
        assert "$0.131 of $2.00, $0.69/h now" in shown
        assert "RTX 4090 on runpod" in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_live_view_fits_every_terminal(start: Start, job_file: str, columns: int) -> None:
    arguments = ("submit", job_file, "--yes", "--max-cost", "2")
    with start(*arguments, columns=columns, FAKE_SLOW="1") as terminal:
        terminal.wait_for("step 5/600")
        shown = terminal.text[terminal.text.index("tickets: running") :].rstrip().splitlines()

    phases, figures = shown[1:2], shown[-6:]
    if columns == 40:
        phases, figures = shown[1:3], shown[3:]
    assert "  ".join(line.strip() for line in phases) == (
        "rent 2.0 s  boot 31 s  ship 3.1 s  setup 41 s  job 9m48s"
    )
    assert any("━" in line for line in figures)
    assert any("█▄▁" in line for line in figures)
    for whole in ("step 5/600  loss 0.5", "loss 1.4 to 0.7 at step 40"):
        assert sum(whole in line for line in figures) == 1, shown
    assert "  spent    $0.131 of $2.00, $0.69/h now" in figures
    assert "  machine  RTX 4090 on runpod" in figures


def test_a_dumb_terminal_is_told_in_plain_lines(start: Start, job_file: str) -> None:
    with start("submit", job_file, "--yes", "--max-cost", "2", TERM="dumb") as terminal:
        assert terminal.end() == 0
        assert b"tickets: running, step 40/300" in terminal.raw
        assert b"\x1b" not in terminal.raw


def test_attach_goes_on_from_where_the_log_stood(start: Start, home: Path) -> None:
    (home / "seen").mkdir(parents=True)
    (home / "seen" / "runid123").write_text("2")

    with start("attach", "last") as terminal:
        assert terminal.end() == 0
        assert "third" in terminal.text
        assert "second" not in terminal.text


def test_a_flood_of_lines_is_cut_and_says_so(start: Start) -> None:
    with start("attach", "last", FAKE_FLOOD="1") as terminal:
        assert terminal.end() == 0
        assert b"... 800 lines more: gpulease logs runid123" in terminal.raw
        assert b"line 799" not in terminal.raw
        assert b"line 800" in terminal.raw


def test_a_narrow_terminal_folds_and_loses_nothing(start: Start) -> None:
    with start("receipt", "last", columns=46) as terminal:
        assert terminal.end() == 0
        joined = "".join(terminal.text.split())
        assert "provengone" in joined
        assert "model/model.safetens" in joined and "metrics.json" in joined


def test_no_colour_is_drawn_where_it_is_not_wanted(start: Start) -> None:
    with (
        start("receipt", "last", NO_COLOR="1") as plain,
        start("receipt", "last", "--no-color") as asked,
        start("receipt", "last") as colourful,
    ):
        assert plain.end() == asked.end() == colourful.end() == 0
        assert b"\x1b[32m" not in plain.raw
        assert b"\x1b[32m" not in asked.raw
        assert b"\x1b[32m" in colourful.raw


def test_a_key_is_asked_for_without_showing_it(start: Start, tmp_path: Path) -> None:
    with start("login", "runpod") as terminal:
        terminal.wait_for("RUNPOD_API_KEY (not shown):")
        terminal.type("rpa_secret\n")

        assert terminal.end() == 0
        assert b"rpa_secret" not in terminal.raw
    assert "rpa_secret" in (tmp_path / "config.toml").read_text()


def test_close_wants_the_runs_name_typed(start: Start) -> None:
    with start("close", "last", "--seen-gone") as terminal:
        terminal.wait_for("Type the run's name")
        terminal.type("tickets\n")

        assert terminal.end() == 7
        assert "NOT PROVEN: a person said so" in terminal.text
