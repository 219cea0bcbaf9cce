"""What happens to a run in the suite with real processes, and how it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WRITES_A_RESULT

_FAILS = WRITES_A_RESULT + "raise SystemExit(3)\n"
_GOES_ON = WRITES_A_RESULT + "import time\ntime.sleep(36000)\n"


def _quiet(cloud: Cloud) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Story:
    """One run of own code. What is asked of it holds whoever dies where."""

    name: str
    exit_code: int = 0
    outcome: str = "succeeded"
    creates: int = 1  # POST /pods, with refused ones
    begin: Callable[[Cloud], None] = _quiet
    script: str = WRITES_A_RESULT
    max_cost: str = "5.00"
    max_duration: str = "10h"
    cancels: bool = False  # once the program runs
    reaches_cap: bool = False  # likewise, by time that goes by
    reuses: bool = False  # once the first run keeps its machine, another goes on with it

    @property
    def runs(self) -> int:
        """How many are recorded in the end."""
        return 2 if self.reuses else 1

    def __str__(self) -> str:
        return self.name


def _loses_the_reply(cloud: Cloud) -> None:
    cloud.fault("reply_lost", operation="create")
    cloud.fault("list_lag_s", seconds=40)


STORIES = (
    Story("plain"),
    Story("reply_lost", begin=_loses_the_reply),
    Story("no_capacity", creates=2, begin=lambda cloud: cloud.fault("no_capacity")),
    Story("cancel", 9, "cancelled", script=_GOES_ON, cancels=True),
    Story("cap", 5, "capped", script=_GOES_ON, max_cost="0.30", reaches_cap=True),
    Story("delete_lies", begin=lambda cloud: cloud.fault("delete_lies")),
    Story("reuse", reuses=True),
    Story("program_fails", 1, "failed", script=_FAILS),
)
