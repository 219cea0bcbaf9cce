"""What happens to a run in the suite with real processes, and how it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.crash.process_acts import (
    Act,
    boot_takes_for_ever,
    break_machine,
    cancels,
    clock_is_set,
    crowd,
    key_is_refused,
    leave,
    provider_is_down,
    reaches_cap,
    sleeps_when,
    workstation_is_off,
)
from tests.crash.process_store import Stored
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, WRITES_A_RESULT
from tests.e2e.store import BUCKET

_FAILS = WRITES_A_RESULT + "raise SystemExit(3)\n"
_GOES_ON = WRITES_A_RESULT + "import time\ntime.sleep(36000)\n"
_WAITS = 'print("hello from here", flush=True)\n' + WAITS + WRITES_A_RESULT
# Its result is what it saved in an earlier life: nobody has it who did not go on from there.
_TWO_LIVES = """\
import hashlib, json, os, pathlib, time
print("hello from", os.getcwd(), flush=True)
saves = pathlib.Path(os.environ["GPULEASE_CHECKPOINTS"])
if found := sorted(saves.glob("step-*/result")):
    pathlib.Path(os.environ["GPULEASE_OUTPUT"], "result.txt").write_bytes(found[-1].read_bytes())
    raise SystemExit
(saves / ".writing").mkdir()
(saves / ".writing/result").write_text("forty-two\\n")
sha256 = hashlib.sha256(b"forty-two\\n").hexdigest()
files = [{"path": "result", "size_bytes": 10, "sha256": sha256}]
complete = {"step": 1, "at": time.time(), "files": files}
(saves / ".writing/complete.json").write_text(json.dumps(complete))
(saves / ".writing").rename(saves / "step-1")
"""
_IS_LOST = _TWO_LIVES + "time.sleep(36000)\n"
_IS_KILLED = _TWO_LIVES + "os.kill(os.getpid(), 9)\n"
_SAVES = "checkpoints: {every: 10s}\n"


def _quiet(cloud: Cloud) -> None:
    pass


def _nothing(telling: object, stored: Stored) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Story:
    """One run of own code. What is asked of it holds whoever dies where."""

    name: str
    exit_code: int = 0
    outcome: str = "succeeded"
    creates: int = 1  # calls that ask for a machine, with refused ones; 0: any number
    ended_by: tuple[str, ...] = ("api",)  # of each machine, the oldest first
    begin: Callable[[Cloud], None] = _quiet
    happens: Act = _nothing
    end: Callable[[Cloud], None] = _quiet  # whatever `begin` did that is no fault
    script: str = WRITES_A_RESULT
    more: str = ""  # of the job
    max_cost: str = "5.00"
    max_duration: str = "10h"
    providers: tuple[str, ...] = ("runpod",)
    keep: str = ""  # for so long the machine is kept
    reuses: bool = False  # once the first run keeps its machine, another goes on with it
    loses: bool = False  # what was not home when its machine ended itself, and says so
    bucket: bool = False  # results go there
    neighbour: bool = False  # another home rents on the same account at the same time
    told: str = ""  # what the runs' events must say where nobody died
    meets: int = 0  # likewise, a status with which calls are answered
    set_s: float = 0.0  # by which the wall clock is set, and so is what is counted as used

    @property
    def runs(self) -> int:
        """How many are recorded in the end."""
        return 2 if self.reuses else 1

    def __str__(self) -> str:
        return self.name


def _loses_the_reply(cloud: Cloud) -> None:
    cloud.fault("reply_lost", operation="create")
    cloud.fault("list_lag_s", seconds=40)


def _loses_both_replies(cloud: Cloud) -> None:
    """The other home's and this one's."""
    cloud.fault("reply_lost", operation="create", times=2)
    cloud.fault("list_lag_s", seconds=40)


def _loses_the_reply_on_lambda(cloud: Cloud) -> None:
    cloud.fault("reply_lost", provider="lambda", operation="create")
    cloud.fault("list_lag_s", provider="lambda", seconds=40)


def _one_has_nothing(cloud: Cloud) -> None:
    cloud.fault("no_capacity", provider="vast", times=None)
    cloud.fault("no_capacity", provider="runpod")  # whose first offer may be the cheapest


_TWICE = ("api", "api")
_UNGUARDED = "accept_unguarded: true\n"
STORIES = (
    Story("plain"),
    Story("reply_lost", begin=_loses_the_reply, told="the answer to a create was lost"),
    Story("no_capacity", creates=2, begin=lambda cloud: cloud.fault("no_capacity")),
    Story("cancel", 9, "cancelled", script=_GOES_ON, happens=cancels),
    Story("cap", 5, "capped", script=_GOES_ON, max_cost="0.30", happens=reaches_cap),
    Story("delete_lies", begin=lambda cloud: cloud.fault("delete_lies")),
    Story("reuse", keep="1h", reuses=True),
    Story("program_fails", 1, "failed", script=_FAILS),
    Story(
        "rented_with_error",
        begin=lambda cloud: cloud.fault("5xx_after", operation="create"),
        told="HTTP 500 to a create; a machine may exist",
    ),
    Story(
        "price_above",
        creates=2,
        ended_by=_TWICE,
        begin=lambda cloud: cloud.fault("price_above"),
        told="costs .* next:",
    ),
    Story(
        "boot_stuck",
        creates=2,
        ended_by=_TWICE,
        begin=lambda cloud: cloud.fault("boot_stuck"),
        happens=boot_takes_for_ever,
        told="nobody could log in .* next:",
    ),
    Story(
        "host_lost",
        creates=2,
        ended_by=("provider", "api"),
        script=_IS_LOST,
        more=_SAVES,
        happens=break_machine("host_lost"),
        told="the machine was lost; next:",
    ),
    Story(
        "program_killed",
        script=_IS_KILLED,
        more=_SAVES,
        told="killed by SIGKILL, and went on from its checkpoint at step 1",
    ),
    Story("crowded_account", begin=crowd, end=leave, told="the answer to a create was lost"),
    Story("key_refused", script=_WAITS, happens=key_is_refused, meets=401),
    Story("provider_down", script=_WAITS, happens=provider_is_down, meets=503),
    Story("clock_set_ahead", script=_WAITS, happens=clock_is_set(600.0), set_s=600.0),
    Story("clock_set_back", script=_WAITS, happens=clock_is_set(-600.0)),
    Story(
        "asleep",
        8,
        "expired",
        ended_by=("self",),
        script=_WAITS,
        more="artifacts: {hold: 5m}\n",
        max_duration="30m",
        happens=sleeps_when("running"),
        loses=True,
    ),
    Story("kept_and_asleep", ended_by=("self",), keep="10m", happens=sleeps_when("kept")),
    Story(
        "taken_away",
        creates=2,
        ended_by=_TWICE,
        script=_IS_LOST,
        more=f"{_SAVES}spot: true\n",
        providers=("vast",),
        happens=break_machine("spot_reclaim"),
        told="taken away by a higher bid",
    ),
    Story(
        "other_provider",
        creates=0,  # a market's prices move: how many hosts come before RunPod's second offer
        providers=("vast", "runpod"),
        begin=_one_has_nothing,
        told="(?s)next: .* on runpod.*rented .* on runpod",
    ),
    Story(
        "bucket",
        more=f"artifacts: {{to: s3://{BUCKET}/team}}\n",
        bucket=True,
        told="3 artifacts are in the bucket",
    ),
    Story(
        "two_homes",
        creates=0,  # theirs may have come before this story began to count
        begin=_loses_both_replies,
        neighbour=True,
        told="the answer to a create was lost",
    ),
    Story("on_lambda", providers=("lambda",), more=_UNGUARDED),
    Story(
        "lost_on_lambda",
        providers=("lambda",),
        more=_UNGUARDED,
        begin=_loses_the_reply_on_lambda,
        told="the answer to a launch was lost",
    ),
    Story("on_paperspace", providers=("paperspace",), more=_UNGUARDED),
)
OWN_MACHINE = "ssh_host"
_OWN = (OWN_MACHINE,)
OWN_STORIES = (  # nothing is rented, and nobody bills
    Story("own_machine", creates=0, ended_by=(), providers=_OWN),
    Story(
        "own_machine_cancel",
        9,
        "cancelled",
        creates=0,
        ended_by=(),
        script=_GOES_ON,
        happens=cancels,
        providers=_OWN,
    ),
    Story(
        "own_machine_program_killed",
        creates=0,
        ended_by=(),
        script=_IS_KILLED,
        more=_SAVES,
        providers=_OWN,
        told="killed by SIGKILL, and went on from its checkpoint at step 1",
    ),
    Story("own_machine_reuse", creates=0, ended_by=(), providers=_OWN, keep="1h", reuses=True),
    Story(
        "own_machine_off",
        creates=0,
        ended_by=(),
        script=_WAITS,
        happens=workstation_is_off,
        providers=_OWN,
    ),
)
