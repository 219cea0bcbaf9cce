from __future__ import annotations

import itertools

import pytest

from orchestrator.cli.exit_codes import OF_OUTCOME, ExitCode, exit_code_of, worst
from orchestrator.cli.help import help_page
from orchestrator.runs.states import Outcome
from tests.cli.fake_app import open_view, run_view

PUBLISHED = [7, 8, 70, 4, 6, 5, 9, 3, 1]


def test_of_several_codes_the_first_of_the_published_order_wins() -> None:
    for first, second in itertools.combinations(PUBLISHED, 2):
        assert worst([second, first]) == worst([first, second, 0]) == first


def test_every_outcome_has_a_code() -> None:
    assert {str(outcome) for outcome in Outcome} == set(OF_OUTCOME)


def test_every_code_is_on_the_first_page() -> None:
    tail = help_page().rpartition("Exit codes")[2]

    assert all(f"{int(code)} " in tail for code in ExitCode)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"outcome": "failed"}, 1),
        ({"outcome": "failed", "artifacts_missing": ["model"]}, 8),
        (
            {
                "outcome": "capped",
                "artifacts_missing": ["model"],
                "returned": {"proven": False, "at": None},
            },
            7,
        ),
        ({"outcome": "no_capacity", "machines": []}, 3),
        ({"exit_code": 5}, 5),
    ],
)
def test_a_view_without_a_code_still_says_it(changes: dict[str, object], code: int) -> None:
    assert exit_code_of(run_view(**{"exit_code": None, **changes})) == code


def test_a_run_whose_machine_is_not_proven_gone_never_counts_as_done() -> None:
    assert exit_code_of(open_view("returning")) == 7
