"""The machines of a simulated cloud whose insides are in memory, and the clock that moves them."""

from __future__ import annotations

import math

import httpx

from infra.simcloud.cloud import SimCloud
from infra.simcloud.rented import Phase, Rented
from orchestrator.clock import FakeClock
from orchestrator.errors import HostKeyMismatch, Unreachable
from orchestrator.remote.keys import is_same_key
from orchestrator.runs.lease import Lease
from tests.artifacts.memory_store import MemoryStore
from tests.crash.clouds import end_from_inside
from tests.crash.machine import Box, Login, Program

_EXCHANGE_S = 0.2
_EPSILON_S = 1e-6
_MISHAPS = ("restart_at_s", "fails_at_s", "stops_at_s", "vanishes_at_s", "moves_at_s")


class StageClock(FakeClock):
    """Never jumps over a moment at which a machine does something by itself."""

    fleet: Fleet | None = None

    def advance(self, seconds: float, *, asleep: bool = False) -> None:
        end_s = self.at_s + seconds
        while self.fleet is not None and (due_s := self.fleet.next_s()) is not None:
            if due_s > end_s:
                break
            super().advance(max(0.0, due_s - self.at_s) + _EPSILON_S, asleep=asleep)
            self.fleet.settle()
        super().advance(max(0.0, end_s - self.at_s), asleep=asleep)
        if self.fleet is not None:
            self.fleet.settle()


class Fleet:
    """A box in each machine of the cloud that runs."""

    def __init__(self, cloud: SimCloud, clock: StageClock) -> None:
        self.boxes: dict[str, Box] = {}
        self.program = Program()
        self.store = MemoryStore()  # the bucket of whoever wants one
        self._cloud = cloud
        self._clock = clock
        # As the container would: with the machine's own key, from outside this computer.
        self._api = httpx.Client(trust_env=False)
        clock.fleet = self

    def close(self) -> None:
        self._clock.fleet = None
        self._api.close()

    def clear(self) -> None:
        """Forget every machine that ever was."""
        self.boxes.clear()
        self._cloud.world.machines.clear()
        self._cloud.world.calls.clear()

    def next_s(self) -> float | None:
        """The next moment at which a machine boots, or does something."""
        moments = [
            moment
            for machine in self._cloud.world.machines.values()
            if machine.alive
            for moment in _moments(machine, self.boxes.get(machine.id))
            if moment != math.inf
        ]
        return min(moments, default=None)

    def settle(self) -> None:
        """Let happen what is due, in the cloud and inside its machines."""
        self._cloud.world.settle()
        for machine in list(self._cloud.world.machines.values()):
            if not machine.alive:
                continue
            if machine.id not in self.boxes and machine.phase is Phase.RUNNING:
                now_s = self._clock.now_s()
                self.boxes[machine.id] = Box(machine, self.program, now_s, self._end, self.store)
            if machine.id in self.boxes:
                self.boxes[machine.id].settle(self._clock.now_s())

    def log_in(self, lease: Lease) -> Login:
        """Raises: Unreachable."""
        self._clock.advance(_EXCHANGE_S)
        box = self.boxes.get(lease.machine_id or "")
        if box is None or not self.answers(lease):
            raise Unreachable("nobody answers at the address")
        if lease.host_key and not is_same_key(lease.host_key, box.host_key):
            raise HostKeyMismatch("another host key than the pinned one")
        if not box.takes_key:
            raise Unreachable("the login is refused")
        login = Login(box, lambda: self._clock.advance(_EXCHANGE_S), box.machine.life)
        login.read("", 0, 0)
        return login

    def answers(self, lease: Lease) -> bool:
        """Whether an sshd says its name at the lease's address."""
        box = self.boxes.get(lease.machine_id or "")
        if box is None or not box.machine.is_up:
            return False
        doors = (box.machine.ssh, box.machine.proxy)
        here = [one for one in doors if one is not None and one.port == lease.ssh_port]
        own = box.machine.own_address
        if not here or (own is not None and own[0] != lease.ssh_host):
            return False
        is_silent = here[0].silent
        is_open = self._clock.now_s() >= box.machine.ssh_open_at_s
        return is_open and not is_silent and not box.machine.is_cut

    def _end(self, machine: Rented) -> bool:
        return end_from_inside(self._api, self._cloud.env, machine)


def _moments(machine: Rented, box: Box | None) -> list[float]:
    """When something happens to a machine, or in it."""
    if machine.phase in (Phase.PLACED, Phase.STARTING):
        return [machine.running_at_s]
    if machine.phase is not Phase.RUNNING:
        return []
    coming = [getattr(machine, name) for name in _MISHAPS]
    if machine.is_up:
        coming.append(machine.life_began_s + machine.returns_after_s)
        within_s = None if box is None else box.next_s()
        coming += [] if within_s is None else [within_s]
    return coming
