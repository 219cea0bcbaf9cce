"""What the world and the person do in a story with real processes, between two looks at it.

An act is asked at every look, and does each thing once: what it did stands in `telling.marks`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from infra.simcloud.faults import OPERATIONS
from orchestrator.clock import SystemClock
from orchestrator.providers.base import MachineRequest
from orchestrator.spec.resources import Need
from tests.crash.clouds import make_client
from tests.crash.process_store import Stored
from tests.e2e.cloud import Cloud

if TYPE_CHECKING:
    from tests.crash.processes import Telling

Act = Callable[["Telling", Stored], None]

HOUR_S = 3600.0
NIGHT_S = 8 * HOUR_S
NEIGHBOUR = "somebody-elses"
_ANSWERS = tuple(name for name in OPERATIONS if name not in ("machine", "start"))  # of an API
_PACE_S = 0.4  # real seconds between two pieces of time: a driver looks every 0.2 s
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 nobody"


def cancels(telling: Telling, stored: Stored) -> None:
    """The person, once the program runs; again where that command did not live for it."""
    if telling.works(stored) and stored.wish == "go_on":
        telling.cancel()


def reaches_cap(telling: Telling, stored: Stored) -> None:
    """All the time that the cap pays for is gone."""
    if telling.works(stored) and telling.first("capped"):
        stop_s = stored.leases[-1]["stop_s"]
        telling.cloud.advance(stop_s + 1 - telling.cloud.now_s())


def boot_takes_for_ever(telling: Telling, stored: Stored) -> None:
    """A quarter of an hour in which the first machine does not come up."""
    if stored.state == "booting" and len(telling.machines()) == 1 and telling.first("stuck"):
        telling.cloud.advance(HOUR_S / 4)


def break_machine(fault: str) -> Act:
    """The first machine is lost or taken away, with a checkpoint of its program at home."""

    def act(telling: Telling, stored: Stored) -> None:
        runs = telling.person.home / "runs"
        is_saved = any(runs.glob("*/checkpoints/step-*/complete.json"))
        if telling.works(stored) and is_saved and telling.first("lost"):
            (machine,) = telling.machines()
            telling.cloud.machine_fault(machine["id"], fault)

    return act


def key_is_refused(telling: Telling, stored: Stored) -> None:
    """For half an hour, in which the program ends and its machine cannot be given back."""
    if telling.works(stored) and telling.first("refused"):
        telling.cloud.fault("key_revoked")
        telling.trouble = True
    if _has_gone_by(telling, "refused", 900.0, steps=6):
        telling.says_go(stored)
        telling.first("ends")
    if _has_gone_by(telling, "ends", 900.0, steps=12):
        telling.cloud.fault("key_restored")
        telling.trouble = False


def provider_is_down(telling: Telling, stored: Stored) -> None:
    """For an hour, from when the program runs on."""
    if telling.works(stored) and telling.first("down"):
        for operation in _ANSWERS:
            telling.cloud.fault("5xx", operation=operation, times=None)
        telling.trouble = True
    if _has_gone_by(telling, "down", HOUR_S, steps=12):
        telling.cloud.clear_faults()
        telling.trouble = False
        telling.says_go(stored)


def workstation_is_off(telling: Telling, stored: Stored) -> None:
    """Nobody reaches it for a quarter of an hour, in which the program ends."""
    tower = telling.own
    assert tower is not None
    if telling.works(stored) and telling.first("off"):
        tower.goes_off()
        telling.trouble = True
        telling.says_go(stored)
    if _has_gone_by(telling, "off", 900.0, steps=6):
        tower.comes_back()
        telling.trouble = False
        telling.first("back")
    _has_gone_by(telling, "back", 60.0, steps=4)  # it is asked for again twice a minute


def clock_is_set(seconds: float) -> Act:
    """Somebody sets this computer's wall clock while the program runs."""

    def act(telling: Telling, stored: Stored) -> None:
        if telling.works(stored) and telling.first("set"):
            telling.set_clock(seconds)
        if _has_gone_by(telling, "set", 60.0, steps=4):
            telling.says_go(stored)

    return act


def sleeps_when(state: str) -> Act:
    """8 h in which everything on this computer stands still, and its machine ends itself."""

    def act(telling: Telling, stored: Stored) -> None:
        # A machine's guard counts this time, so that the night begins in small steps.
        is_there = telling.works(stored) if state == "running" else stored.state == state
        if is_there and telling.tally.moves and telling.first("asleep"):
            telling.marks["morning"] = telling.cloud.now_s() + NIGHT_S
            _signal_all(telling, signal.SIGSTOP)
        if "asleep" not in telling.marks or "awake" in telling.marks:
            return
        left_s = telling.marks["morning"] - telling.cloud.now_s()
        if left_s > 0 and telling.cloud.living(telling.person.home_id):
            telling.cloud.advance(min(60.0, left_s))
            time.sleep(0.25)
        elif telling.first("awake"):
            telling.cloud.advance(max(0.0, left_s))
            _signal_all(telling, signal.SIGCONT)

    return act


def _signal_all(telling: Telling, number: signal.Signals) -> None:
    for process_id in [*telling.person.driver_ids(), *telling.typed_ids()]:
        with suppress(ProcessLookupError):
            os.kill(process_id, number)


def _has_gone_by(telling: Telling, since: str, seconds: float, *, steps: int) -> bool:
    """True once: when so much time went by since a mark, in as many pieces."""
    if since not in telling.marks or f"{since}: over" in telling.marks:
        return False
    if time.monotonic() < telling.marks.get(f"{since}: next", 0.0):
        return False
    done = telling.marks.get(f"{since}: pieces", 0.0)
    if done >= steps:
        return telling.first(f"{since}: over")
    telling.cloud.advance(seconds / steps)
    telling.marks[f"{since}: pieces"] = done + 1
    telling.marks[f"{since}: next"] = time.monotonic() + _PACE_S
    return False


def crowd(cloud: Cloud) -> None:
    """Others' machines on the account, pages of one row, a list that lags, and a lost reply."""
    for number in range(2):
        client = make_client("runpod", cloud.env, cloud.folder, SystemClock())
        offer = client.list_offers(Need())[-1]
        label = f"{NEIGHBOUR}-{number}"
        client.create_machine(MachineRequest(label, offer, "image:1", 20, _KEY, "sleep infinity"))
        client.close()
    cloud.switch(page_size=1)
    cloud.fault("reply_lost", operation="create")
    cloud.fault("list_lag_s", seconds=40)
    cloud.fault("list_page_fail", times=2)


def leave(cloud: Cloud) -> None:
    """The others give their machines back, and pages are as long as ever."""
    cloud.switch(page_size=1000)
    client = make_client("runpod", cloud.env, cloud.folder, SystemClock())
    for machine in cloud.living():
        if machine["label"].startswith(NEIGHBOUR):
            client.delete_machine(machine["id"])
    client.close()
