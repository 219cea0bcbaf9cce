"""What the command ends with: a published table."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from orchestrator.runs.view import RunView


class ExitCode(IntEnum):
    """Every code that gpulease ends with."""

    DONE = 0  # done, or detached as asked
    JOB_FAILED = 1
    USAGE = 2
    NO_OFFER = 3
    CREDENTIALS = 4
    BUDGET = 5  # refused by budget, capped, expired
    PROVIDER = 6
    NOT_RETURNED = 7
    NOT_HOME = 8
    CANCELLED = 9
    OURS = 70
    DETACHED = 130  # Ctrl-C: the run goes on


_FIRST_WINS = (
    ExitCode.NOT_RETURNED,
    ExitCode.NOT_HOME,
    ExitCode.OURS,
    ExitCode.CREDENTIALS,
    ExitCode.PROVIDER,
    ExitCode.BUDGET,
    ExitCode.CANCELLED,
    ExitCode.NO_OFFER,
    ExitCode.JOB_FAILED,
)
OF_OUTCOME = {
    "succeeded": ExitCode.DONE,
    "failed": ExitCode.JOB_FAILED,
    "cancelled": ExitCode.CANCELLED,
    "capped": ExitCode.BUDGET,
    "expired": ExitCode.BUDGET,
    "refused": ExitCode.BUDGET,
    "no_capacity": ExitCode.NO_OFFER,
    "unreachable": ExitCode.PROVIDER,
}


def worst(codes: Iterable[int]) -> int:
    """The one code that several mean: 7, 8, 70, 4, 6, 5, 9, 3, 1, the first wins.

    >>> worst([1, 8])
    8
    >>> worst([])
    0
    """
    met = set(codes) - {0}
    for code in _FIRST_WINS:
        if code in met:
            return int(code)
    return max(met, default=0)


def exit_code_of(view: RunView) -> int:
    """The run's own code; worked out from what it says of itself where it has none yet."""
    if view["exit_code"] is not None:
        return view["exit_code"]
    codes: list[int] = []
    if view["outcome"]:
        codes.append(OF_OUTCOME.get(view["outcome"], ExitCode.OURS))
    if view["artifacts_missing"]:
        codes.append(ExitCode.NOT_HOME)
    if view["machines"] and not view["returned"]["proven"]:
        codes.append(ExitCode.NOT_RETURNED)
    return worst(codes)
