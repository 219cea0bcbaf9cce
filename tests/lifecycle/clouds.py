"""A small cloud in memory: machines that go when they are deleted, and one fault at will."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal

from orchestrator.clock import FakeClock
from orchestrator.errors import MachineNotFound
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.world import World
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities, GuardWay, Machine, MachineStatus
from orchestrator.runs.label import Label
from orchestrator.spec.resources import Need
from tests.lifecycle.worlds import Described, quiet_world
from tests.runs.samples import NOW_S, RUN_ID

GUARDED = Capabilities(guard=GuardWay.START_COMMAND)
FREE = Capabilities(guard=GuardWay.AGENT, bills=False)


def label(home: str = "homeid", *, deadline_s: float = NOW_S + 7200) -> str:
    return str(Label(home, RUN_ID, 0, int(NOW_S), int(deadline_s)))


def machine(machine_id: str = "m1", label: str | None = None) -> Machine:
    return Machine(
        id=machine_id,
        label=label,
        status=MachineStatus.RUNNING,
        gpu="RTX 4090",
        gpu_count=1,
        usd_per_hour=Decimal("0.60"),
        created_at_s=NOW_S,
    )


class SmallCloud(Described):
    """`fault` is raised by every read; `before_get` runs first in `get_machine`."""

    def __init__(self, machines: Iterable[Machine] = (), offers: Iterable[Offer] = ()) -> None:
        super().__init__(GUARDED)
        self.machines = {one.id: one for one in machines}
        self.offers = list(offers)
        self.deleted: list[str] = []
        self.fault: Exception | None = None
        self.before_get: Callable[[], None] = lambda: None

    def list_offers(self, need: Need) -> list[Offer]:
        self._fail()
        return self.offers

    def get_machine(self, machine_id: str) -> Machine:
        self.before_get()
        self._fail()
        if machine_id not in self.machines:
            raise MachineNotFound(f"{machine_id} is unknown")
        return self.machines[machine_id]

    def list_machines(self) -> list[Machine]:
        self._fail()
        return list(self.machines.values())

    def delete_machine(self, machine_id: str) -> None:
        self.deleted.append(machine_id)
        self.machines.pop(machine_id, None)

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


class Bank(SmallCloud):
    """A cloud whose account can be read; two machines burn on it."""

    def __init__(self, usd: str | None) -> None:
        super().__init__([machine("m1"), machine("m2")])
        self.usd = None if usd is None else Decimal(usd)
        self.asked = 0

    def identity(self) -> str:
        return "user:u1"

    def balance_usd(self) -> Decimal | None:
        self.asked += 1
        self._fail()
        return self.usd


def world_of(cloud: SmallCloud, clock: FakeClock) -> World:
    """A quiet world in which `cloud` is every provider."""
    return replace(quiet_world(clock=clock), accounts=Accounts(lambda _: cloud, clock))
