"""A world of which only the clock, the providers' capabilities and the connections are real."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.clock import FakeClock
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.world import Opened, World
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities, GuardWay, Machine, MachineRequest
from orchestrator.remote.shell import Reply, Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish
from orchestrator.spec.resources import Need
from tests.runs.samples import NOW_S


class Described:
    """A provider that is asked for what it can do, and for nothing else."""

    name = "runpod"

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities

    def list_offers(self, need: Need) -> list[Offer]:
        raise NotImplementedError

    def create_machine(self, request: MachineRequest) -> Machine:
        raise NotImplementedError

    def get_machine(self, machine_id: str) -> Machine:
        raise NotImplementedError

    def list_machines(self) -> list[Machine]:
        raise NotImplementedError

    def delete_machine(self, machine_id: str) -> None:
        raise NotImplementedError


class IdleShell:
    """A connection that is opened and closed, and carries nothing."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        if self.fault is not None:
            raise self.fault

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        raise NotImplementedError

    def read(self, path: str, offset: int, limit: int) -> bytes:
        raise NotImplementedError

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        raise NotImplementedError

    def push(self, stream: Iterable[bytes]) -> None:
        raise NotImplementedError

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        raise NotImplementedError


class NoCargo:
    """Nothing to send and nothing to keep."""

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        raise NotImplementedError

    def ship(self, run: Run, lease: Lease, shell: Shell, keep_going: Callable[[], None]) -> None:
        raise NotImplementedError

    def folder(self, run: Run) -> Path:
        raise NotImplementedError


def quiet_world(
    *,
    capabilities: Capabilities | None = None,
    clock: FakeClock | None = None,
    open_shell: Callable[[], Shell] = IdleShell,
    wish_of: Callable[[str], Wish] = lambda _: Wish.GO_ON,
) -> World:
    clock = clock or FakeClock(NOW_S)
    described = Described(capabilities or Capabilities(guard=GuardWay.START_COMMAND))
    return World(
        clock=clock,
        home_id="homeid",
        accounts=Accounts(lambda _: described, clock),
        open_shell=lambda _run, _lease: Opened(open_shell(), "host key"),
        cargo=NoCargo(),
        wish_of=wish_of,
    )
