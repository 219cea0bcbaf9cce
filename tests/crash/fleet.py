"""The machines of a simulated cloud whose insides are in memory, and the clock that moves them."""

from __future__ import annotations

import contextlib
import math

import httpx

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.memory import host_key
from infra.simcloud.rented import Phase, Rented
from orchestrator.clock import FakeClock
from orchestrator.errors import HostKeyMismatch, Unreachable
from orchestrator.remote.keys import is_same_key
from orchestrator.runs.lease import Lease
from tests.artifacts.memory_store import MemoryStore
from tests.crash.machine import Box, Login, Program

_EXCHANGE_S = 0.2
_EPSILON_S = 1e-6
_TERMINATE = 'mutation{podTerminate(input:{podId:"%s"})}'
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
        # As the container would: with the pod's own key, from outside this computer.
        self._api = httpx.Client(trust_env=False)
        self._rest = cloud.env["GPULEASE_RUNPOD_URL"]
        self._graphql = cloud.env["GPULEASE_RUNPOD_GRAPHQL_URL"]
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
        shown = host_key(box.machine.id, box.machine.disks)
        if lease.host_key and not is_same_key(lease.host_key, shown):
            raise HostKeyMismatch("another host key than the pinned one")
        login = Login(box, lambda: self._clock.advance(_EXCHANGE_S), box.machine.life)
        login.read("", 0, 0)
        return login

    def answers(self, lease: Lease) -> bool:
        """Whether an sshd says its name at the lease's address."""
        box = self.boxes.get(lease.machine_id or "")
        if box is None or not box.machine.is_up or box.machine.ssh_port != lease.ssh_port:
            return False
        is_silent = box.machine.ssh is not None and box.machine.ssh.silent
        is_open = self._clock.now_s() >= box.machine.ssh_open_at_s
        return is_open and not is_silent and not box.machine.is_cut

    def _end(self, machine: Rented) -> bool:
        if machine.is_cut or machine.boot is None:
            return False
        headers = {"Authorization": f"Bearer {machine.boot.environment['RUNPOD_API_KEY']}"}
        ways = (
            ("POST", f"{self._rest}/pods/{machine.id}/action", {"action": "terminate"}),
            ("DELETE", f"{self._rest}/pods/{machine.id}", None),
            ("POST", self._graphql, {"query": _TERMINATE % machine.id}),
        )
        for method, url, body in ways:
            with contextlib.suppress(httpx.HTTPError):  # the next way, or the next minute
                self._api.request(method, url, json=body, headers=headers)
            if not machine.alive:
                return True
        return False


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
