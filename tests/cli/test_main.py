from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import BadCredentials, BudgetRefused, SpecError
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp
from tests.cli.terminal import PROGRAM, ROOT


def test_an_error_reads_like_this(
    gpulease: Gpulease, app: FakeApp, golden: Callable[[str, str], None]
) -> None:
    texts = []
    for error in (
        SpecError(["job.yaml:3: unknown key `naem`; did you mean `name`?", "job.yaml:9: x"]),
        BudgetRefused(
            "the month's limit is reached", hint="gpulease ps --all\nconfig.toml: limits"
        ),
        BadCredentials("runpod \x1b[31mrefuses\x1b[0m the key [bold]x[/bold]"),
    ):
        app.errors["runs"] = error
        ended = gpulease("ps")
        texts.append(f"exit {ended.code}\n{ended.out}{ended.err}")

    golden("errors.txt", "\n".join(texts))


def test_our_own_fault_is_one_line_and_a_file(gpulease: Gpulease, app: FakeApp, home: Path) -> None:
    app.errors["runs"] = RuntimeError("boom")

    ended = gpulease("ps", "--json")

    assert ended.code == 70
    assert "Traceback" not in ended.out + ended.err
    assert ended.json()["error"]["code"] == "internal"
    (story,) = (home / "logs").iterdir()
    assert str(story) in ended.err
    assert "boom" in story.read_text()


def test_v_shows_the_whole_story(gpulease: Gpulease, app: FakeApp) -> None:
    app.errors["runs"] = RuntimeError("boom")

    assert "Traceback" in gpulease("ps", "-v").err


def test_ctrl_c_anywhere_is_130(gpulease: Gpulease, app: FakeApp) -> None:
    app.errors["runs"] = KeyboardInterrupt()

    ended = gpulease("ps", "--json")

    assert ended.code == 130
    assert ended.json()["error"]["code"] == "interrupted"


def test_home_is_taken_from_the_command_line(
    gpulease: Gpulease, app: FakeApp, tmp_path: Path
) -> None:
    app.errors["runs"] = RuntimeError("boom")

    gpulease("ps", "--home", str(tmp_path / "other"))

    assert (tmp_path / "other" / "logs").is_dir()


def test_a_wrong_config_file_is_told_with_its_line(gpulease: Gpulease, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[limits]\nmonth = 5\n")

    ended = gpulease("ps")

    assert ended.code == 2
    assert "config.toml:2: unknown key 'month'; did you mean `month_usd`?" in ended.err


def test_the_version_is_printed_wherever_it_is_asked_for(gpulease: Gpulease) -> None:
    assert gpulease("--version").out == gpulease("ps", "--version").out
    assert gpulease("--version", "--json").json()["schema"] == 1


def test_a_reader_that_goes_away_is_no_fault(home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "logs", "last"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "answer"), [("gpulease su", "submit"), ("gpulease submit --max-c", "--max-cost")]
)
def test_names_complete_by_the_tab_key(home: Path, words: str, answer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env={
            **os.environ,
            "_GPULEASE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [answer]
