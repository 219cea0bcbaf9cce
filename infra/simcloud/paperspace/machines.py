"""Machines: creating them, what they boot with, and what happens to them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from infra.simcloud.faults import Fault, Words
from infra.simcloud.machines import Boot
from infra.simcloud.net import LOOPBACK
from infra.simcloud.orders import NotNow, Order, SoldOut
from infra.simcloud.paperspace.bodies import Create
from infra.simcloud.paperspace.problems import Problem, bad, no_such
from infra.simcloud.paperspace.switches import Switches
from infra.simcloud.paperspace.types import (
    BY_NAME,
    MONTH_HOURS,
    PROVIDER,
    TEMPLATES,
    Kind,
    disk_usd_per_month,
    region_of,
    shelf_of,
)
from infra.simcloud.rented import EndedBy, Phase, Rented
from infra.simcloud.stock import Stock
from infra.simcloud.web import Json
from infra.simcloud.world import World

START = "/.cloud-init"
USER = "paperspace"
CUDA_DEAD = 802
_PUBLIC_NET = "127.65"  # each machine has a loopback address of its own
_NO_CAPACITY = "Insufficient capacity for the machine type in this region."
_OFF = (Phase.STOPPED, Phase.FAILED, Phase.LOST)
_HELD = re.compile(r"'(ssh-ed25519 [^'\n]+)'")
_HOST_KEY = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END [^\n]+-----\n", re.DOTALL)

# Beside what `infra/simcloud/faults.py` lists for every provider:
WORDS = Words(
    any_call={},
    belongs_to={
        "never_on": "machine",  # no capacity: created, and soon `off`; its event says `event`
        "static_ip": "machine",  # has a static address although none was asked for
        "no_data": "create",  # does it, and answers with its event alone
    },
    standing=set(),
    only={},
)


@dataclass(slots=True)
class Event:
    """Something that was asked of a machine."""

    id: str
    name: str
    at_s: float
    done_s: float = math.inf
    error: str = ""


@dataclass(slots=True)
class Facts:
    """What a machine keeps of its create."""

    asked: Create
    kind: Kind
    region: str
    ip: str
    number: int
    script: str
    name: str
    has_static_ip: bool = False
    is_stopping: bool = False
    events: list[Event] = field(default_factory=list)


class Machines:
    """Rents machines of the world, and knows their states."""

    def __init__(self, world: World, switches: Switches) -> None:
        self._world = world
        self._switches = switches
        self.port = 22  # of every sshd, set when the API is served

    def create(self, asked: Create, account: str, script: str) -> Rented:
        """Fields were read; then what they name. Raises: Problem."""
        world = self._world
        kind, region = BY_NAME.get(asked.text("machineType")), region_of(asked.text("region"))
        if kind is None or not region or region not in kind.regions:
            raise bad("Machine type is not available in this region.")
        if asked.text("templateId") not in TEMPLATES:
            raise no_such("Template")
        most = self._switches.most_machines
        if most and sum(one.alive for one in world.of(PROVIDER, account)) >= most:
            raise Problem("FORBIDDEN", "Your team has reached its machine limit.")
        shelf = shelf_of(world.stock_of(PROVIDER), kind, region)
        assert shelf is not None, "every type in each of its regions has a shelf"
        number = len(world.machines) + 1
        ip = f"{_PUBLIC_NET}.{number // 250 % 250}.{1 + number % 250}"
        order = self._order(asked, account, kind, shelf, ip)
        facts = Facts(asked, kind, region, ip, number, script, asked.text("name"))

        def to_boot(machine: Rented) -> Boot:
            machine.details[PROVIDER] = facts
            machine.to_boot = lambda: self.boot(machine)
            return self.boot(machine)

        with world.lock:
            is_sold_out = shelf.free < kind.gpus
            if is_sold_out:  # it is created all the same, and never comes on
                shelf.free += kind.gpus
            try:
                machine = world.rent(order, to_boot)
            except SoldOut:
                raise bad("Machine type is not available in this region.") from None
            if is_sold_out:
                shelf.free -= kind.gpus  # given back when it is off
            facts.events.append(self._event("create"))
            fault = machine.faults.get("never_on")
            if is_sold_out or fault or not asked.flag("startOnCreate", default=True):
                self._keep_off(machine, fault, is_sold_out)
            self._schedule_shutdown(machine)
            facts.has_static_ip = (
                asked.text("publicIpType") == "static" or "static_ip" in machine.faults
            )
        return machine

    def boot(self, machine: Rented) -> Boot:
        """How the virtual machine starts."""
        facts = facts_of(machine)
        backend = self._world.backend
        links = {name: f"http://{LOOPBACK}:{link.port}" for name, link in machine.links.items()}
        hub = {"HF_ENDPOINT": links["hub"]} if "hub" in links else {}
        is_own = backend.kind == "namespaces"
        # Where a machine has no files of its own nothing of a script may run: what it would put in
        # is read from its text.
        key = "" if is_own else "\n".join(dict.fromkeys(_HELD.findall(facts.script)[:1]))
        host_key = "" if is_own else "".join(_HOST_KEY.findall(facts.script)[:1])
        return Boot(
            machine_id=machine.id,
            argv=(START,),
            environment={
                **backend.environment,
                **hub,
                "SIMCLOUD_SSH_KEY": key,
                "SIMCLOUD_HOST_KEY": host_key,
                "SIMCLOUD_SCRIPT": facts.script if is_own else "",
                "SIMCLOUD_CLOUD_INIT_S": f"{self._world.delay_s(self._switches.script_s):.3f}",
                "SIMCLOUD_LOGIN": USER if is_own else "",
            },
            gpu_name=facts.kind.card.id,
            gpu_memory_mib=facts.kind.card.memory_gb * 1024,
            gpu_count=0 if machine.without_gpus else machine.gpu_count,
            compute_capability=facts.kind.card.compute_capability,
            cuda_error=CUDA_DEAD if "cuda_dead" in machine.faults else 0,
            disk=machine.disks,
        )

    def state(self, machine: Rented) -> str:
        """In Paperspace's words; "" once it is deleted."""
        now_s = self._world.clock.now_s()
        if machine.ended_s is not None:
            gone_s = machine.ended_s + self._world.delay_s(self._switches.deleting_s)
            return "stopping" if now_s < gone_s else ""
        if machine.phase in _OFF:
            return "off"
        if facts_of(machine).is_stopping:
            return "stopping"
        if machine.phase is Phase.RUNNING:
            return "ready"
        if machine.phase is Phase.PLACED:
            return "provisioning"
        return "starting" if now_s < (machine.starting_at_s + machine.due_s) / 2 else "serviceready"

    def shows_ip(self, machine: Rented) -> bool:
        """Whether it has its address yet, or still."""
        if facts_of(machine).has_static_ip:
            return True
        boot_s = machine.due_s - machine.created_s
        shown_s = machine.created_s + self._switches.ip_share * boot_s
        return machine.phase not in _OFF and self._world.clock.now_s() >= shown_s

    def start(self, machine: Rented) -> Event:
        """Raises: Problem."""
        try:
            self._world.start(machine)
        except NotNow:
            raise bad("This machine is currently starting.") from None
        except SoldOut:
            return self._record(machine, "start", _NO_CAPACITY)
        self._schedule_shutdown(machine)
        return self._record(machine, "start")

    def stop(self, machine: Rented) -> Event:
        """It takes a while; then no compute is billed. Raises: Problem."""
        facts = facts_of(machine)
        if machine.phase in _OFF or facts.is_stopping:
            raise bad("This machine is not running.")
        facts.is_stopping = True
        machine.stops_at_s = self._world.clock.now_s() + self._world.delay_s(
            self._switches.stopping_s
        )
        return self._record(machine, "stop")

    def restart(self, machine: Rented) -> Event:
        """Raises: Problem."""
        try:
            self._world.restart(machine)
        except NotNow:
            raise bad("This machine is not running.") from None
        return self._record(machine, "restart")

    def delete(self, machine: Rented, *, lies: bool = False) -> Event:
        """It bills no longer; for a while it still shows. Raises: Problem."""
        if self._switches.delete_needs_off and machine.alive and machine.phase not in _OFF:
            raise Problem("PRECONDITION_FAILED", "Machine must be off to be deleted.")
        event = self._record(machine, "deactivate")
        if not lies:
            self._world.end(machine, EndedBy.API)
        return event

    def shut_down_after(self, machine: Rented, hours: Json) -> None:
        """Another time for its own stop, from now on or from when it is ready."""
        facts = facts_of(machine)
        facts.asked = Create({**facts.asked.fields, "autoShutdownTimeout": hours})
        self._schedule_shutdown(machine)

    def _order(self, asked: Create, account: str, kind: Kind, shelf: Stock, ip: str) -> Order:
        world = self._world
        month_usd = disk_usd_per_month(asked.number("diskSize"))
        disk_usd = (month_usd / MONTH_HOURS).quantize(Decimal("0.000001"))
        return Order(
            provider=PROVIDER,
            account=account,
            label=asked.text("name"),
            stock=shelf,
            gpu_count=kind.gpus,
            data_center=shelf.data_centers[0],
            machine_id=f"ps{world.word(9)}",
            gpu_usd_per_hour=kind.usd_per_hour,
            disk_usd_per_hour=disk_usd,
            stopped_usd_per_hour=disk_usd,
            keeps_disk=True,
            address=(ip, self.port),
            billing_increment_s=3600,
            is_container=False,
        )

    def _keep_off(self, machine: Rented, fault: Fault | None, is_sold_out: bool) -> None:
        """It never comes on, and soon shows `off`: compute is not billed, its disk is."""
        now_s = self._world.clock.now_s()
        seconds = fault.seconds(5.0) if fault else 5.0
        machine.starting_at_s = machine.running_at_s = math.inf
        machine.stops_at_s = now_s + self._world.delay_s(seconds)
        machine.spans.clear()
        machine.meter(now_s, machine.disk_usd_per_hour, machine.disk_usd_per_hour)
        event = facts_of(machine).events[0]
        if (is_sold_out or fault) and not (fault and fault.options.get("event") == "done"):
            event.error = _NO_CAPACITY
        event.done_s = machine.stops_at_s

    def _schedule_shutdown(self, machine: Rented) -> None:
        asked = facts_of(machine).asked
        facts_of(machine).is_stopping = False
        if not asked.flag("autoShutdownEnabled"):
            return
        mode = self._switches.auto_shutdown
        since_s = {"absolute": self._world.clock.now_s(), "idle": machine.due_s}.get(mode, math.inf)
        stops_s = since_s + 3600 * asked.number("autoShutdownTimeout")
        machine.stops_at_s = min(machine.stops_at_s, stops_s)

    def _record(self, machine: Rented, name: str, error: str = "") -> Event:
        event = self._event(name, error)
        facts_of(machine).events.append(event)
        return event

    def _event(self, name: str, error: str = "") -> Event:
        now_s = self._world.clock.now_s()
        done_s = math.inf if name in ("create", "start") and not error else now_s
        return Event(f"ev{self._world.word(10)}", name, now_s, done_s, error)


def facts_of(machine: Rented) -> Facts:
    """What a machine of these keeps of its create."""
    return cast(Facts, machine.details[PROVIDER])
