from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agent.clock import Clock
from orchestrator.agent.deadline import Deadline
from orchestrator.agent.runfile import parse_run_file
from orchestrator.runs.label import Label
from tests.agent.run_files import run_file

CREATED_S = 1800000000
LABEL = str(Label("homeid", "runid123", 1, CREATED_S, CREATED_S + 7200))


class HandClock(Clock):
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s = float(CREATED_S + 100)
        self.passed_s = 5000.0

    def now_s(self) -> float:
        return self.wall_s

    def elapsed_s(self) -> float:
        return self.passed_s


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def deadline(tmp_path: Path, clock: HandClock) -> Deadline:
    run = parse_run_file(run_file(label=LABEL, deadline_at=CREATED_S + 3600))
    return Deadline(tmp_path, run, clock)


def test_without_a_file_the_run_file_says_when(deadline: Deadline) -> None:
    assert deadline.at_s() == CREATED_S + 3600
    assert deadline.left_s() == 3500


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("1800001000", 1000),
        ("1800001000.5\n", 1000.5),
        ("1800005000", 5000),
        ("1900000000", 7200),
        ("inf", 7200),
        ("nan", 3600),
        ("", 3600),
        ("soon", 3600),
        ("-5", 3600),
    ],
)
def test_the_file_moves_it_up_to_the_labels_own(
    deadline: Deadline, tmp_path: Path, said: str, means: float
) -> None:
    (tmp_path / "deadline").write_text(said)

    assert deadline.at_s() - CREATED_S == means


def test_a_file_that_became_unreadable_changes_nothing(deadline: Deadline, tmp_path: Path) -> None:
    (tmp_path / "deadline").write_text("1800001000")
    deadline.at_s()
    (tmp_path / "deadline").write_text("")

    assert deadline.at_s() == CREATED_S + 1000


def test_a_wall_clock_that_is_stepped_back_gains_nothing(
    deadline: Deadline, clock: HandClock
) -> None:
    clock.passed_s += 3000
    clock.wall_s -= 86400

    assert deadline.left_s() == 500


def test_a_wall_clock_that_was_never_set_counts_from_the_labels_creation(
    tmp_path: Path, clock: HandClock
) -> None:
    clock.wall_s = 0.0
    run = parse_run_file(run_file(label=LABEL, deadline_at=CREATED_S + 3600))
    deadline = Deadline(tmp_path, run, clock)
    clock.passed_s += 3600

    assert deadline.left_s() == 0
