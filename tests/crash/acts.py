"""What the world and the person do in a story, between two steps of its driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from infra.simcloud.mishaps import OUTBID
from infra.simcloud.rented import Rented
from infra.simcloud.vast.api import VastApi
from infra.simcloud.vast.facts import Facts
from orchestrator.cli.follow import RETURN_LIMIT_S, ReturnWatch
from orchestrator.lifecycle.views import to_run_view
from orchestrator.runs.label import Label
from orchestrator.runs.states import State, Wish
from tests.crash.stage import NEXT_ID, RUN_ID, Stage

Act = Callable[[Stage], None]
_READS = ("get", "list", "catalog", "account", "logs", "billing")
_WRITES = ("create", "delete", "action", "keys")


def fault(
    name: str, operation: str = "", *, seconds: float | None = None, times: int | None = 1
) -> Act:
    return lambda stage: stage.cloud.fault(name, operation=operation, seconds=seconds, times=times)


def wish_when(state: State, wish: Wish) -> Act:
    def meddle(stage: Stage) -> None:
        run = stage.run
        if (
            run.state is state
            and run.wish is Wish.GO_ON
            and (state is not State.RUNNING or run.checkpoint)
        ):
            stage.journal.wish(RUN_ID, wish)

    return meddle


def cut_when(state: State) -> Act:
    def meddle(stage: Stage) -> None:
        if stage.run.state is state:
            for machine in stage.living():
                if not machine.is_cut:
                    stage.cloud.machine_fault(machine.id, "network_cut")

    return meddle


def lose_when(state: State, *, after_s: float = 0.0) -> Act:
    """The first machine's host is lost, once the run has been in that state for so long."""

    def meddle(stage: Stage) -> None:
        run = stage.run
        is_due = run.state is state and stage.clock.now_s() - run.state_since_s >= after_s
        if is_due and len(run.leases) == 1:
            for machine in stage.living():
                stage.cloud.machine_fault(machine.id, "host_lost")

    return meddle


def restart_when(state: State) -> Act:
    """Its host starts the first machine anew, once."""

    def meddle(stage: Stage) -> None:
        run = stage.run
        if run.state is state and run.checkpoint and "restarted" not in stage.marks:
            for machine in stage.living():
                stage.marks["restarted"] = stage.clock.now_s()
                stage.cloud.machine_fault(machine.id, "host_restarted")

    return meddle


def spend_when(state: State) -> Act:
    """Somebody else spends what is on the account."""

    def meddle(stage: Stage) -> None:
        if stage.run.state is state and stage.run.checkpoint:
            balance_usd = stage.cloud.world.accounts.balance_usd("runpod", "main")
            if balance_usd > Decimal("0.04"):
                stage.cloud.switch(balance_usd="0.04")

    return meddle


def lose_when_saved(stage: Stage) -> None:
    """The machine is lost once a checkpoint of it is in the bucket."""
    run = stage.run
    is_saved = any(b"complete.json" in one for one in stage.fleet.store.objects.values())
    if run.state is State.RUNNING and len(run.leases) == 1 and is_saved:
        for machine in stage.living():
            stage.cloud.machine_fault(machine.id, "host_lost")


def bucket_down_for(seconds: float) -> Act:
    """The store answers nobody, from the program's end on."""

    def meddle(stage: Stage) -> None:
        run = stage.run
        since_s = run.exit_seen_s or math.inf
        stage.fleet.store.down = since_s <= stage.clock.now_s() < since_s + seconds

    return meddle


def cancel_next(stage: Stage) -> None:
    run = stage.runs()[-1] if stage.is_recorded() else None
    if run is not None and run.id == NEXT_ID and run.state is State.RUNNING and run.checkpoint:
        stage.journal.wish(NEXT_ID, Wish.CANCEL)


def lose_next(state: State) -> Act:
    """Lose the machine that was used again, in a state of the run that uses it."""

    def meddle(stage: Stage) -> None:
        run = stage.runs()[-1] if stage.is_recorded() else None
        if run is not None and run.id == NEXT_ID and run.state is state and len(run.leases) == 1:
            for machine in stage.living():
                stage.cloud.machine_fault(machine.id, "host_lost")

    return meddle


def lose_reply_and_lag(stage: Stage) -> None:
    stage.cloud.fault("reply_lost", operation="create")
    stage.cloud.fault("list_lag_s", seconds=8.0)


def lose_reply_and_host(stage: Stage) -> None:
    """It lives and is billed between two lists: nobody ever sees it."""
    stage.cloud.fault("reply_lost", operation="create")
    stage.cloud.fault("list_lag_s", seconds=2.5)
    stage.cloud.fault("vanishes")


def crowd(stage: Stage) -> None:
    """Pages of one row, of which the second is refused now and then, and a lost reply."""
    stage.cloud.switch(page_size=1)
    stage.cloud.fault("reply_lost", operation="create", after=1)
    stage.add_neighbour()


def one_more_neighbour(stage: Stage) -> None:
    """Newer than ours, so that ours is on the second page."""
    if stage.living() and len(stage.neighbours()) == 1:
        stage.add_neighbour()
        stage.cloud.fault("list_page_fail", times=2)


def sell_out(stage: Stage) -> None:
    """Every card is rented by others, and the catalog says so."""
    for stock in stage.cloud.world.stock:
        stock.free = 0


def refuse_all(stage: Stage) -> None:
    """The catalog shows cards that are not for rent."""
    stage.cloud.fault("no_capacity", times=None)


def capacity_after(seconds: float, fault: str = "") -> Act:
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


def sell_out_and_refuse(stage: Stage) -> None:
    sell_out(stage)
    refuse_all(stage)


def cancel_while_waiting(stage: Stage) -> None:
    run = stage.run
    if run.state is State.PLANNED and run.asked_s > run.created_s and run.wish is Wish.GO_ON:
        stage.journal.wish(RUN_ID, Wish.CANCEL)


def both(*acts: Act) -> Act:
    """One after the other."""

    def act(stage: Stage) -> None:
        for one in acts:
            one(stage)

    return act


def of(provider: str, name: str, operation: str = "", *, times: int | None = 1) -> Act:
    """A fault of one provider among several; `times` None: always."""
    return lambda stage: stage.cloud.fault(
        name, provider=provider, operation=operation, times=times
    )


def switched(**switches: object) -> Act:
    """The first provider behaves in another way that its documents leave open."""
    return lambda stage: stage.cloud.switch(**switches)


def at_its_pace(stage: Stage) -> None:
    """Lambda refuses calls that come sooner than it documents."""
    stage.cloud.switch(provider="lambda", calls_per_s=1.0, launch_every_s=12.0)


def only(provider: str, card: str, tier: str) -> Act:
    """Everything else of a provider is rented by others."""

    def act(stage: Stage) -> None:
        for stock in stage.cloud.world.stock_of(provider):
            if (stock.card.name, stock.tier) != (card, tier):
                stock.free = 0

    return act


def charge_traffic(usd_per_gb: str) -> Act:
    """Every host of a market wants money for what reaches its machines."""

    def act(stage: Stage) -> None:
        for api in stage.cloud.apis.values():
            if isinstance(api, VastApi):
                for host in api.market.hosts:
                    host.usd_per_gb_in = Decimal(usd_per_gb)

    return act


def nobody_looks_for(seconds: float, state: State) -> Act:
    """The process stands still for so long, once, and the world goes on."""

    def meddle(stage: Stage) -> None:
        if stage.run.state is state and "quiet" not in stage.marks:
            stage.marks["quiet"] = stage.clock.now_s()
            stage.clock.advance(seconds)

    return meddle


def down_for(seconds: float, state: State) -> Act:
    """The first provider answers nothing but errors, from the first time in a state on."""

    def meddle(stage: Stage) -> None:
        now_s, marks = stage.clock.now_s(), stage.marks
        if "down" not in marks and stage.run.state is state:
            marks["down"] = now_s
            for part in (*_READS, *_WRITES):
                stage.cloud.fault("5xx", operation=part, times=None)
        if "up" not in marks and now_s > marks.get("down", math.inf) + seconds:
            marks["up"] = now_s
            stage.cloud.clear_faults()

    return meddle


def revoked_for(seconds: float, state: State) -> Act:
    """The first provider's key is refused, from the first time in a state on."""

    def meddle(stage: Stage) -> None:
        now_s, marks = stage.clock.now_s(), stage.marks
        if "revoked" not in marks and stage.run.state is state:
            marks["revoked"] = now_s
            stage.cloud.fault("key_revoked")
        if "restored" not in marks and now_s > marks.get("revoked", math.inf) + seconds:
            marks["restored"] = now_s
            stage.cloud.fault("key_restored")

    return meddle


def returns_refused_for(seconds: float) -> Act:
    """Deletes end in errors from the first on; whoever follows the run is told so in time."""
    watches: dict[int, ReturnWatch] = {}  # by the id of the clock that each one keeps

    def meddle(stage: Stage) -> None:
        run, now_s, marks = stage.run, stage.clock.now_s(), stage.marks
        if "refuses" not in marks:
            marks["refuses"] = now_s
            stage.takes_nothing_back = True
            stage.cloud.fault("5xx", operation="delete", times=None)
        asked_s = [one.return_since_s for one in run.leases if one.return_since_s is not None]
        if asked_s and now_s > min(asked_s) + seconds and "takes" not in marks:
            marks["takes"] = now_s
            stage.takes_nothing_back = False
            stage.cloud.clear_faults()
        if run.state is not State.RETURNING or "takes" in marks:
            return
        watch = watches.setdefault(id(stage.clock), ReturnWatch(stage.clock))
        since_s = marks.setdefault("returning", now_s)
        view = to_run_view(run, now_s, log_path="", artifacts_dir="")
        if view["returned"]["proven"]:
            return
        if not watch.overdue(view) and now_s - since_s > RETURN_LIMIT_S + 60.0:
            stage.seen.append("whoever follows is not told that the machine does not go")

    return meddle


def under_anothers_key_for(seconds: float) -> Act:
    """After `exchange_keys`: later the right ones are at hand again."""

    def meddle(stage: Stage) -> None:
        since_s = stage.marks.get("exchanged", math.inf)
        if stage.clock.now_s() > since_s + seconds:
            stage.others_keys.clear()

    return meddle


def exchange_keys(stage: Stage) -> None:
    """From now on the keys at hand are another account's, the first time only."""
    if "exchanged" not in stage.marks:
        stage.marks["exchanged"] = stage.clock.now_s()
        stage.others_keys.update(stage.providers)
    stage.clock.advance(5.0)


def step_clock(seconds: float, state: State) -> Act:
    """Somebody sets this computer's wall clock ahead, or back."""

    def meddle(stage: Stage) -> None:
        if not stage.stepped_s and stage.run.state is state:
            stage.stepped_s = seconds

    return meddle


def other_home(stage: Stage) -> None:
    """Another home has machines on the same account, one of which is nearly over its time."""
    now_s = int(stage.clock.now_s())
    for n, hours in enumerate((0, 5)):
        label = Label("others", "runidxyz", n, now_s - 60, now_s + 3600 * hours)
        stage.add_neighbour(str(label))


def take_away(times: int, state: State, *, after_s: float = 0.0) -> Act:
    """Somebody bids more for each of the first machines, once the run is there with one.

    Args:
        after_s: how long the run has been in that state by then.
    """

    def meddle(stage: Stage) -> None:
        run = stage.run
        taken = sum(one.last_change == OUTBID for one in stage.machines())
        is_there = run.state is state and (state is not State.RUNNING or run.checkpoint)
        is_there = is_there and stage.clock.now_s() - run.state_since_s >= after_s
        for machine in stage.living():
            if is_there and taken < times and machine.is_up and _is_bid(machine):
                stage.cloud.machine_fault(machine.id, "spot_reclaim")

    return meddle


def sell_out_where_taken(stage: Stage) -> None:
    """A provider whose machine was taken away for a higher bid has no other."""
    for name in {one.provider for one in stage.machines() if one.last_change == OUTBID}:
        for stock in stage.cloud.world.stock_of(name):
            stock.free = 0


def _is_bid(machine: Rented) -> bool:
    facts = machine.details.get("vast")
    return isinstance(facts, Facts) and facts.bid_usd is not None
