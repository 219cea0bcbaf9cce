"""What happens to a run, besides its driver's death."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.runs.states import Outcome, State, Wish
from tests.crash.acts import (
    Act,
    bucket_down_for,
    cancel_next,
    cancel_while_waiting,
    capacity_after,
    crowd,
    cut_when,
    fault,
    lose_next,
    lose_reply_and_host,
    lose_reply_and_lag,
    lose_when,
    lose_when_saved,
    one_more_neighbour,
    refuse_all,
    sell_out,
    sell_out_and_refuse,
    spend_when,
    wish_when,
)
from tests.crash.machine import Program

SLEEP_S = 8 * 3600.0
_RESTART_S = 5.0
_SHORT = Program()


@dataclass(frozen=True)
class Story:
    """One run. `meddle` is asked between two steps of the driver, `revive` after a death."""

    name: str
    ends: frozenset[tuple[Outcome, int]]
    begin: Act = lambda stage: None
    meddle: Act = lambda stage: None
    revive: Act = lambda stage: stage.clock.advance(_RESTART_S)
    program: Program = _SHORT
    max_cost: str = "0.50"
    max_duration: str = "1h"
    hold: str = "15m"
    every: str = "15m"  # a checkpoint is saved elsewhere
    bucket: bool = False  # results go there
    keep_s: float = 0.0
    reuses: bool = False
    pace_s: float = 0.5
    wait_s: float = 0.0  # of `submit --wait`
    guarded: bool = True  # a machine can end itself
    providers: tuple[str, ...] = ("runpod",)  # it is told on; the first's faults need no name
    unguarded: bool = False  # the job takes machines without a guard
    repeats_s: float = 0.0  # of a lost machine's work so much is done again at most; 0: not asked
    told: str = ""  # what the run's events must say
    spot: bool = False  # machines are bid for too
    sweeps: bool = False  # what it leaves beside machines is looked for at its end
    since: str = ""  # deaths before this point are another story


def _ends(*ends: tuple[Outcome, int]) -> frozenset[tuple[Outcome, int]]:
    return frozenset(ends)


_O = Outcome
_WELL = _ends((_O.SUCCEEDED, 0))
_LONG = Program(seconds=3000.0)

STORIES = {
    story.name: story
    for story in (
        Story("plain", _WELL),
        Story("reply lost", _WELL, fault("reply_lost", "create")),
        Story("reply lost, list lags", _WELL, lose_reply_and_lag),
        Story("reply lost, then the host", _WELL, lose_reply_and_host),
        Story("5xx after create", _WELL, fault("5xx_after", "create")),
        Story("no capacity", _WELL, fault("no_capacity")),
        Story(
            "no capacity for a while",
            _WELL,
            sell_out_and_refuse,
            capacity_after(60.0),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for a while, then a lost reply",
            _WELL,
            sell_out,
            capacity_after(40.0, "reply_lost"),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for a while, then rented with an error",
            _WELL,
            sell_out,
            capacity_after(40.0, "5xx_after"),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for as long as it waits",
            _ends((_O.NO_CAPACITY, 3)),
            refuse_all,
            wait_s=930.0,
            revive=lambda stage: stage.clock.advance(600.0),
        ),
        Story(
            "cancel while waiting for capacity",
            _ends((_O.CANCELLED, 9)),
            sell_out,
            cancel_while_waiting,
            wait_s=1200.0,
        ),
        Story(
            "asleep while waiting for capacity",
            # 8: nobody knows whether the agent of a machine that ended in the night had begun.
            _ends(
                (_O.NO_CAPACITY, 3),
                (_O.NO_CAPACITY, 8),
                (_O.EXPIRED, 8),
                (_O.SUCCEEDED, 0),
                (_O.SUCCEEDED, 8),
            ),
            sell_out,
            capacity_after(60.0),
            wait_s=1200.0,
            revive=lambda stage: stage.sleep(SLEEP_S),
        ),
        Story("price above", _WELL, fault("price_above")),
        Story(
            "cancel while running",
            _ends((_O.CANCELLED, 9)),
            meddle=wish_when(State.RUNNING, Wish.CANCEL),
            program=_LONG,
        ),
        Story(
            "cancel while booting",
            _ends((_O.CANCELLED, 9)),
            meddle=wish_when(State.BOOTING, Wish.CANCEL),
        ),
        Story(
            "cancel --now",
            _ends((_O.CANCELLED, 8)),
            meddle=wish_when(State.RUNNING, Wish.CANCEL_NOW),
            program=_LONG,
        ),
        Story(
            "cap reached",
            _ends((_O.CAPPED, 5)),
            program=_LONG,
            max_cost="0.04",
            hold="1m",
            pace_s=6.0,
        ),
        Story(
            "balance runs low",
            _ends((_O.CAPPED, 5)),
            begin=lambda stage: stage.cloud.switch(balance_usd="0.60"),
            meddle=spend_when(State.RUNNING),
            program=_LONG,
            pace_s=6.0,
        ),
        Story("program fails", _ends((_O.FAILED, 1)), program=Program(exit_code=3)),
        Story(
            "network cut",
            _ends((_O.SUCCEEDED, 8)),
            meddle=cut_when(State.COLLECTING),
            max_cost="0.14",
            pace_s=60.0,
        ),
        Story(
            "network cut under a roomy cap",
            _ends((_O.EXPIRED, 8)),
            meddle=cut_when(State.RUNNING),
            program=_LONG,
            max_cost="3.00",
            hold="1m",
            pace_s=60.0,
        ),
        Story(
            "host lost while running",
            _WELL,
            meddle=lose_when(State.RUNNING, after_s=96.0),  # four fifths of the work are done
            program=Program(seconds=120.0),
            every="30s",
            pace_s=2.0,
            repeats_s=30.0,
            told="the machine was lost; next:",
        ),
        Story("host lost while shipping", _WELL, meddle=lose_when(State.SHIPPING)),
        Story("crowded account", _WELL, crowd, one_more_neighbour),
        Story("list lag", _WELL, fault("list_lag_s", seconds=8.0)),
        Story("delete lies", _WELL, fault("delete_lies")),
        Story("boot stuck", _WELL, fault("boot_stuck"), pace_s=40.0),
        Story(
            "boot stuck, on every machine",
            _ends((_O.NO_CAPACITY, 3)),
            fault("boot_stuck", times=None),
            pace_s=40.0,
            told="went to machines that did no work",
        ),
        Story(
            "boot stuck, on six machines",
            _ends((_O.NO_CAPACITY, 3)),
            fault("boot_stuck", times=None),
            max_cost="4.00",
            pace_s=40.0,
            told="6 machines were rented",
        ),
        Story("nothing starts in it", _WELL, fault("never_starts"), pace_s=40.0),
        Story("its image cannot be pulled", _WELL, fault("image_error"), pace_s=20.0),
        Story("placed without a GPU", _WELL, fault("zero_gpu"), told="it has 0 GPUs, not 1; next:"),
        Story(
            "started again and again",
            _WELL,
            fault("restart_loop", seconds=3.0),
            pace_s=20.0,
            told="vanished while it booted; next:",
        ),
        Story(
            "started again in mid-job",
            _WELL,
            fault("restart_loop", seconds=40.0),
            program=Program(seconds=300.0, checkpoint_every_s=60.0),
            pace_s=5.0,
            told="the machine was lost; next:",
        ),
        Story(
            "another port and host key in mid-job",
            _WELL,
            fault("restarts_elsewhere", seconds=120.0),
            program=Program(seconds=300.0, checkpoint_every_s=30.0),
            pace_s=5.0,
            repeats_s=60.0,
            told="the machine was lost; next:",
        ),
        Story(
            "asleep in mid-job",
            _WELL,
            revive=lambda stage: stage.sleep(SLEEP_S / 12),
            program=Program(seconds=3000.0, checkpoint_every_s=600.0),
            hold="90m",  # longer than two sleeps: whenever they begin, they end in time
            pace_s=30.0,
            since="after run python3 start",
        ),
        Story("kept", _WELL, keep_s=600.0, pace_s=20.0),
        Story(
            "kept, then wanted back",
            _WELL,
            meddle=wish_when(State.KEPT, Wish.CANCEL),
            keep_s=600.0,
        ),
        Story("kept, and lost", _WELL, meddle=lose_when(State.KEPT), keep_s=600.0, pace_s=20.0),
        Story("kept, delete lies", _WELL, fault("delete_lies"), keep_s=60.0, pace_s=20.0),
        Story(
            "kept, and asleep",
            _WELL,
            revive=lambda stage: stage.sleep(SLEEP_S),
            keep_s=600.0,
            pace_s=20.0,
            since="after save collecting→kept",
        ),
        Story("used again", _WELL, keep_s=600.0, reuses=True),
        Story(
            "used again, cancelled",
            _ends((_O.SUCCEEDED, 0), (_O.CANCELLED, 9)),
            meddle=cancel_next,
            program=Program(seconds=40.0),
            keep_s=600.0,
            reuses=True,
        ),
        Story(
            "used again, then lost",
            _WELL,
            meddle=lose_next(State.RUNNING),
            program=Program(seconds=30.0),
            keep_s=600.0,
            reuses=True,
        ),
        Story(
            "used again, lost before",
            _ends((_O.SUCCEEDED, 0), (_O.NO_CAPACITY, 3), (_O.NO_CAPACITY, 8)),
            meddle=lose_next(State.SHIPPING),
            keep_s=600.0,
            reuses=True,
        ),
        Story(
            "used again, to the cap",
            # A machine ends by its first run's cap, sometimes before the second one's is reached.
            _ends((_O.SUCCEEDED, 0), (_O.CAPPED, 5), (_O.EXPIRED, 5)),
            program=Program(seconds=420.0),
            max_cost="0.06",
            hold="1m",
            keep_s=60.0,
            reuses=True,
            pace_s=6.0,
        ),
        Story(
            "used again, asleep for 8 h",
            _ends((_O.SUCCEEDED, 0), (_O.SUCCEEDED, 8), (_O.EXPIRED, 5), (_O.EXPIRED, 8))
            | _ends((_O.NO_CAPACITY, 3), (_O.NO_CAPACITY, 8)),
            revive=lambda stage: stage.sleep(SLEEP_S),
            keep_s=600.0,
            reuses=True,
            since="before hand_over",
        ),
        Story("to a bucket", _WELL, bucket=True),
        Story(
            "to a bucket, asleep for 8 h",
            _WELL,
            revive=lambda stage: stage.sleep(SLEEP_S),
            bucket=True,
            since="after run python3 start",
        ),
        Story(
            "to a bucket, killed for good",
            _WELL,
            revive=lambda stage: stage.clock.advance(SLEEP_S),
            bucket=True,
            since="after run python3 start",
        ),
        Story(
            "to a bucket, then lost",
            _WELL,
            meddle=lose_when_saved,
            program=Program(seconds=120.0),
            every="1m",
            bucket=True,
        ),
        Story("to a bucket, which is down", _WELL, meddle=bucket_down_for(120.0), bucket=True),
        Story(
            "to a bucket, which stays down",
            _WELL | _ends((_O.SUCCEEDED, 8)),  # all went there before, and nobody can prove it
            meddle=bucket_down_for(1e6),
            bucket=True,
        ),
        Story(
            "to a bucket, cancelled",
            _ends((_O.CANCELLED, 9)),
            meddle=wish_when(State.RUNNING, Wish.CANCEL),
            program=_LONG,
            bucket=True,
        ),
        Story(
            "to a bucket, cancel --now",
            _ends((_O.CANCELLED, 8)),
            meddle=wish_when(State.RUNNING, Wish.CANCEL_NOW),
            program=_LONG,
            bucket=True,
        ),
        Story(
            "to a bucket, to the cap",
            _ends((_O.CAPPED, 5)),
            program=_LONG,
            max_cost="0.04",
            hold="1m",
            pace_s=6.0,
            bucket=True,
        ),
        Story("to a bucket, used again", _WELL, keep_s=600.0, reuses=True, bucket=True),
        Story(
            "asleep for 8 h",
            _ends((_O.SUCCEEDED, 0), (_O.SUCCEEDED, 8), (_O.EXPIRED, 5), (_O.EXPIRED, 8)),
            revive=lambda stage: stage.sleep(SLEEP_S),
        ),
    )
}
