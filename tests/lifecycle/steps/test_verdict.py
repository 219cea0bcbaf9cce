from __future__ import annotations

import pytest

from orchestrator.lifecycle.steps.verdict import verdict
from orchestrator.runs.states import Outcome
from tests.runs.samples import NOW_S, lease, run

PROGRAM_ENDED = {"why": "finished", "exit_code": 0}


@pytest.mark.parametrize(
    ("exit_record", "outcome", "code", "words"),
    [
        (PROGRAM_ENDED, Outcome.SUCCEEDED, "", ""),
        ({"why": "finished", "exit_code": 3, "message": "x"}, Outcome.FAILED, "job_failed", "3: x"),
        ({"why": "finished", "signal": 9}, Outcome.FAILED, "job_failed", "with signal 9"),
        ({"why": "finished", "exit_code": 1, "out_of_memory": True}, Outcome.FAILED,
         "out_of_memory", "out of memory"),
        ({"why": "finished", "exit_code": 1, "disk_full": True}, Outcome.FAILED, "disk_full",
         "disk of 40 GiB is full"),
        ({"why": "setup", "phase": "environment", "message": "no such version"}, Outcome.FAILED,
         "setup", "environment failed: no such version"),
        ({"why": "no_gpu"}, Outcome.FAILED, "no_gpu", "there is no GPU"),
        ({"why": "deadline"}, Outcome.EXPIRED, "max_duration", "max_duration of"),
    ],
)  # fmt: skip
def test_the_agents_record_is_an_outcome_with_words_to_act_on(
    exit_record: dict[str, object], outcome: Outcome, code: str, words: str
) -> None:
    found, failure = verdict(run(exit=exit_record, leases=(lease(),)))

    assert (found, failure.code if failure else "") == (outcome, code)
    assert words in (failure.problem if failure else "")


def test_nothing_is_said_of_how_large_the_disk_of_ones_own_computer_is() -> None:
    exit_record = {"why": "finished", "exit_code": 1, "disk_full": True}

    _, failure = verdict(run(exit=exit_record, leases=(lease(bills=False),)))

    assert failure is not None and "the machine's disk is full" in failure.problem


@pytest.mark.parametrize(
    ("reason", "outcome", "code"),
    [
        ("cancelled", Outcome.CANCELLED, ""),
        ("cap", Outcome.CAPPED, "capped"),
        ("balance", Outcome.CAPPED, "balance"),
        ("duration", Outcome.EXPIRED, "max_duration"),
    ],
)
def test_why_it_was_stopped_counts_more_than_how_the_program_ended(
    reason: str, outcome: Outcome, code: str
) -> None:
    stopped = run(exit=PROGRAM_ENDED, stop_reason=reason, leases=(lease(),))

    found, failure = verdict(stopped)

    assert (found, failure.code if failure else "") == (outcome, code)


@pytest.mark.parametrize(
    ("earlier_s", "code"), [(60.0, "kept_machine_ends"), (0.0, "max_duration")]
)
def test_a_kept_machine_that_ends_before_the_job_s_time_is_named_as_the_reason(
    earlier_s: float, code: str
) -> None:
    kept = lease(sent_s=NOW_S, stop_s=NOW_S + run().max_duration_s - earlier_s, taken_from="other")

    found, failure = verdict(run(stop_reason="duration", leases=(kept,)))

    assert (found, failure and failure.code) == (Outcome.EXPIRED, code)


@pytest.mark.parametrize(
    ("early_s", "stop_reason", "code"),
    [
        (600.0, "", "machine_clock"),
        (30.0, "", "max_duration"),
        (600.0, "duration", "max_duration"),
        (-600.0, "", "max_duration"),
    ],
)
def test_a_machine_whose_clock_is_ahead_is_named_as_the_reason(
    early_s: float, stop_reason: str, code: str
) -> None:
    held = lease(stop_s=NOW_S + 3600)
    seen_s = held.stop_s - early_s
    ended = run(
        exit={"why": "deadline"}, exit_seen_s=seen_s, stop_reason=stop_reason, leases=(held,)
    )

    found, failure = verdict(ended)

    assert (found, failure and failure.code) == (Outcome.EXPIRED, code)
    assert failure is not None and ("10 min before its time" in failure.problem) is (
        code == "machine_clock"
    )


def test_whoever_was_stopped_hears_whether_a_checkpoint_is_home() -> None:
    stopped = run(stop_reason="cap", leases=(lease(),))
    saved = run(stop_reason="cap", leases=(lease(),), artifacts=(("checkpoints/step-1/a", 1, ""),))

    hints = [failure.hint for _, failure in map(verdict, (stopped, saved)) if failure]

    assert hints == [
        "raise budget.max_cost",
        "the last checkpoint is home; raise budget.max_cost",
    ]
