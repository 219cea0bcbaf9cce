"""The machines of a simulated cloud whose insides are in memory, and the clock that moves them."""

from __future__ import annotations

import httpx

from infra.simcloud.cloud import SimCloud
from infra.simcloud.rented import Phase, Rented
from orchestrator.clock import FakeClock
from orchestrator.errors import Unreachable
from orchestrator.runs.lease import Lease
from tests.crash.machine import Box, Login, Program

_EXCHANGE_S = 0.2
_EPSILON_S = 1e-6


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
        self._cloud = cloud
        self._clock = clock
        # As the container would: with the pod's own key, from outside this computer.
        self._api = httpx.Client(trust_env=False, base_url=cloud.env["GPULEASE_RUNPOD_URL"])
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
        moments = []
        for machine in self._cloud.world.machines.values():
            if not machine.alive:
                continue
            box = self.boxes.get(machine.id)
            next_s = machine.running_at_s if box is None else box.next_s()
            if next_s is not None and next_s != float("inf"):
                moments.append(next_s)
        return min(moments, default=None)

    def settle(self) -> None:
        """Let happen what is due, in the cloud and inside its machines."""
        self._cloud.world.settle()
        for machine in list(self._cloud.world.machines.values()):
            if not machine.alive:
                continue
            if machine.id not in self.boxes and machine.phase is Phase.RUNNING:
                now_s = self._clock.now_s()
                self.boxes[machine.id] = Box(machine, self.program, now_s, self._end)
            if machine.id in self.boxes:
                self.boxes[machine.id].settle(self._clock.now_s())

    def log_in(self, lease: Lease) -> Login:
        """Raises: Unreachable."""
        self._clock.advance(_EXCHANGE_S)
        box = self.boxes.get(lease.machine_id or "")
        if box is None or box.machine.ssh_port != lease.ssh_port:
            raise Unreachable("nobody answers at the address")
        login = Login(box, lambda: self._clock.advance(_EXCHANGE_S))
        login.read("", 0, 0)
        return login

    def _end(self, machine: Rented) -> bool:
        if machine.is_cut or machine.boot is None:
            return False
        key = machine.boot.environment["RUNPOD_API_KEY"]
        answer = self._api.post(
            f"/pods/{machine.id}/action",
            json={"action": "terminate"},
            headers={"Authorization": f"Bearer {key}"},
        )
        return answer.is_success
