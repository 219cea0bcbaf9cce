"""What happens to a run, besides its driver's death."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.runs.states import Outcome, State, Wish
from tests.crash.machine import Program
from tests.crash.stage import NEXT_ID, RUN_ID, Stage

SLEEP_S = 8 * 3600.0
_RESTART_S = 5.0
_SHORT = Program()
Act = Callable[[Stage], None]


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
    hold: str = "15m"
    every: str = "15m"  # a checkpoint is saved elsewhere
    bucket: bool = False  # results go there
    keep_s: float = 0.0
    reuses: bool = False
    pace_s: float = 0.5
    wait_s: float = 0.0  # of `submit --wait`
    guarded: bool = True  # a machine can end itself
    since: str = ""  # deaths before this point are another story


def _fault(name: str, operation: str = "", *, seconds: float | None = None) -> Act:
    return lambda stage: stage.cloud.fault(name, operation=operation, seconds=seconds)


def _wish_when(state: State, wish: Wish) -> Act:
    def meddle(stage: Stage) -> None:
        run = stage.run
        if (
            run.state is state
            and run.wish is Wish.GO_ON
            and (state is not State.RUNNING or run.checkpoint)
        ):
            stage.journal.wish(RUN_ID, wish)

    return meddle


def _cut_when(state: State) -> Act:
    def meddle(stage: Stage) -> None:
        if stage.run.state is state:
            for machine in stage.living():
                if not machine.is_cut:
                    stage.cloud.machine_fault(machine.id, "network_cut")

    return meddle


def _lose_when(state: State) -> Act:
    def meddle(stage: Stage) -> None:
        run = stage.run
        if run.state is state and len(run.leases) == 1:
            for machine in stage.living():
                stage.cloud.machine_fault(machine.id, "host_lost")

    return meddle


def _spend_when(state: State) -> Act:
    """Somebody else spends what is on the account."""

    def meddle(stage: Stage) -> None:
        if stage.run.state is state and stage.run.checkpoint:
            balance_usd = stage.cloud.world.accounts.balance_usd("runpod", "main")
            if balance_usd > Decimal("0.04"):
                stage.cloud.switch(balance_usd="0.04")

    return meddle


def _lose_when_saved(stage: Stage) -> None:
    """The machine is lost once a checkpoint of it is in the bucket."""
    run = stage.run
    is_saved = any(b"complete.json" in one for one in stage.fleet.store.objects.values())
    if run.state is State.RUNNING and len(run.leases) == 1 and is_saved:
        for machine in stage.living():
            stage.cloud.machine_fault(machine.id, "host_lost")


def _bucket_down_for(seconds: float) -> Act:
    """The store answers nobody, from the program's end on."""

    def meddle(stage: Stage) -> None:
        run = stage.run
        since_s = run.exit_seen_s or math.inf
        stage.fleet.store.down = since_s <= stage.clock.now_s() < since_s + seconds

    return meddle


def _cancel_next(stage: Stage) -> None:
    run = stage.runs()[-1] if stage.is_recorded() else None
    if run is not None and run.id == NEXT_ID and run.state is State.RUNNING and run.checkpoint:
        stage.journal.wish(NEXT_ID, Wish.CANCEL)


def _lose_next(state: State) -> Act:
    """Lose the machine that was used again, in a state of the run that uses it."""

    def meddle(stage: Stage) -> None:
        run = stage.runs()[-1] if stage.is_recorded() else None
        if run is not None and run.id == NEXT_ID and run.state is state and len(run.leases) == 1:
            for machine in stage.living():
                stage.cloud.machine_fault(machine.id, "host_lost")

    return meddle


def _lose_reply_and_lag(stage: Stage) -> None:
    stage.cloud.fault("reply_lost", operation="create")
    stage.cloud.fault("list_lag_s", seconds=8.0)


def _lose_reply_and_host(stage: Stage) -> None:
    """It lives and is billed between two lists: nobody ever sees it."""
    stage.cloud.fault("reply_lost", operation="create")
    stage.cloud.fault("list_lag_s", seconds=2.5)
    stage.cloud.fault("vanishes")


def _crowd(stage: Stage) -> None:
    """Pages of one row, of which the second is refused now and then, and a lost reply."""
    stage.cloud.switch(page_size=1)
    stage.cloud.fault("reply_lost", operation="create", after=1)
    stage.add_neighbour()


def _one_more_neighbour(stage: Stage) -> None:
    """Newer than ours, so that ours is on the second page."""
    if stage.living() and len(stage.neighbours()) == 1:
        stage.add_neighbour()
        stage.cloud.fault("list_page_fail", times=2)


def _sell_out(stage: Stage) -> None:
    """Every card is rented by others, and the catalog says so."""
    for stock in stage.cloud.world.stock:
        stock.free = 0


def _refuse_all(stage: Stage) -> None:
    """The catalog shows cards that are not for rent."""
    stage.cloud.fault("no_capacity", times=None)


def _capacity_after(seconds: float, fault: str = "") -> Act:
    """What was refused or sold out is for rent again; with a fault of the first create."""

    def meddle(stage: Stage) -> None:
        soonest_s = stage.run.created_s + seconds if stage.is_recorded() else math.inf
        if stage.clock.now_s() < soonest_s or any(one.free for one in stage.cloud.world.stock):
            return
        stage.cloud.clear_faults()
        for stock in stage.cloud.world.stock:
            stock.free = 8
        if fault:
            stage.cloud.fault(fault, operation="create")

    return meddle


def _sell_out_and_refuse(stage: Stage) -> None:
    _sell_out(stage)
    _refuse_all(stage)


def _cancel_while_waiting(stage: Stage) -> None:
    run = stage.run
    if run.state is State.PLANNED and run.asked_s > run.created_s and run.wish is Wish.GO_ON:
        stage.journal.wish(RUN_ID, Wish.CANCEL)


def _ends(*ends: tuple[Outcome, int]) -> frozenset[tuple[Outcome, int]]:
    return frozenset(ends)


_O = Outcome
_WELL = _ends((_O.SUCCEEDED, 0))
_LONG = Program(seconds=3000.0)

STORIES = {
    story.name: story
    for story in (
        Story("plain", _WELL),
        Story("reply lost", _WELL, _fault("reply_lost", "create")),
        Story("reply lost, list lags", _WELL, _lose_reply_and_lag),
        Story("reply lost, then the host", _WELL, _lose_reply_and_host),
        Story("5xx after create", _WELL, _fault("5xx_after", "create")),
        Story("no capacity", _WELL, _fault("no_capacity")),
        Story(
            "no capacity for a while",
            _WELL,
            _sell_out_and_refuse,
            _capacity_after(60.0),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for a while, then a lost reply",
            _WELL,
            _sell_out,
            _capacity_after(40.0, "reply_lost"),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for a while, then rented with an error",
            _WELL,
            _sell_out,
            _capacity_after(40.0, "5xx_after"),
            wait_s=1200.0,
        ),
        Story(
            "no capacity for as long as it waits",
            _ends((_O.NO_CAPACITY, 3)),
            _refuse_all,
            wait_s=930.0,
            revive=lambda stage: stage.clock.advance(600.0),
        ),
        Story(
            "cancel while waiting for capacity",
            _ends((_O.CANCELLED, 9)),
            _sell_out,
            _cancel_while_waiting,
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
            _sell_out,
            _capacity_after(60.0),
            wait_s=1200.0,
            revive=lambda stage: stage.sleep(SLEEP_S),
        ),
        Story("price above", _WELL, _fault("price_above")),
        Story(
            "cancel while running",
            _ends((_O.CANCELLED, 9)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL),
            program=_LONG,
        ),
        Story(
            "cancel while booting",
            _ends((_O.CANCELLED, 9)),
            meddle=_wish_when(State.BOOTING, Wish.CANCEL),
        ),
        Story(
            "cancel --now",
            _ends((_O.CANCELLED, 8)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL_NOW),
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
            meddle=_spend_when(State.RUNNING),
            program=_LONG,
            pace_s=6.0,
        ),
        Story("program fails", _ends((_O.FAILED, 1)), program=Program(exit_code=3)),
        Story(
            "network cut",
            _ends((_O.SUCCEEDED, 8)),
            meddle=_cut_when(State.COLLECTING),
            max_cost="0.14",
            pace_s=60.0,
        ),
        Story(
            "network cut under a roomy cap",
            _ends((_O.EXPIRED, 8)),
            meddle=_cut_when(State.RUNNING),
            program=_LONG,
            max_cost="3.00",
            hold="1m",
            pace_s=60.0,
        ),
        Story(
            "host lost while running",
            _WELL,
            meddle=_lose_when(State.RUNNING),
            program=Program(seconds=30.0),
        ),
        Story("host lost while shipping", _WELL, meddle=_lose_when(State.SHIPPING)),
        Story("crowded account", _WELL, _crowd, _one_more_neighbour),
        Story("list lag", _WELL, _fault("list_lag_s", seconds=8.0)),
        Story("delete lies", _WELL, _fault("delete_lies")),
        Story("boot stuck", _WELL, _fault("boot_stuck"), pace_s=40.0),
        Story("nothing starts in it", _WELL, _fault("never_starts"), pace_s=40.0),
        Story("its image cannot be pulled", _WELL, _fault("image_error"), pace_s=20.0),
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
            meddle=_wish_when(State.KEPT, Wish.CANCEL),
            keep_s=600.0,
        ),
        Story("kept, and lost", _WELL, meddle=_lose_when(State.KEPT), keep_s=600.0, pace_s=20.0),
        Story("kept, delete lies", _WELL, _fault("delete_lies"), keep_s=60.0, pace_s=20.0),
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
            meddle=_cancel_next,
            program=Program(seconds=40.0),
            keep_s=600.0,
            reuses=True,
        ),
        Story(
            "used again, then lost",
            _WELL,
            meddle=_lose_next(State.RUNNING),
            program=Program(seconds=30.0),
            keep_s=600.0,
            reuses=True,
        ),
        Story(
            "used again, lost before",
            _ends((_O.SUCCEEDED, 0), (_O.NO_CAPACITY, 3), (_O.NO_CAPACITY, 8)),
            meddle=_lose_next(State.SHIPPING),
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
            meddle=_lose_when_saved,
            program=Program(seconds=120.0),
            every="1m",
            bucket=True,
        ),
        Story("to a bucket, which is down", _WELL, meddle=_bucket_down_for(120.0), bucket=True),
        Story(
            "to a bucket, which stays down",
            _WELL | _ends((_O.SUCCEEDED, 8)),  # all went there before, and nobody can prove it
            meddle=_bucket_down_for(1e6),
            bucket=True,
        ),
        Story(
            "to a bucket, cancelled",
            _ends((_O.CANCELLED, 9)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL),
            program=_LONG,
            bucket=True,
        ),
        Story(
            "to a bucket, cancel --now",
            _ends((_O.CANCELLED, 8)),
            meddle=_wish_when(State.RUNNING, Wish.CANCEL_NOW),
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
