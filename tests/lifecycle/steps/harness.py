"""A stage for the engine: a real journal, a clock that obeys, a cloud and a machine in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from orchestrator.agent.protocol import EVENTS_FILE, GUARD_FILE, encode
from orchestrator.budget.ledger import Limits
from orchestrator.clock import FakeClock
from orchestrator.errors import GpuleaseError, HostKeyMismatch, MachineNotFound, OutcomeUnknown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.memory import recall
from orchestrator.lifecycle.world import Opened, World
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Capabilities,
    Charge,
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.remote.keys import is_same_key
from orchestrator.remote.shell import Reply, Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State
from orchestrator.spec.resources import Need
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, RUN_ID, lease, run

CAPABILITIES = Capabilities(
    guard=GuardWay.START_COMMAND, list_lag_s=10.0, settle_s=30.0, poll_s=1.0, has_boot_log=True
)
ADDRESS = SshAddress("192.0.2.1", 2222, "root")
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


@dataclass
class Cloud:
    """A provider's account in memory; its list lags behind what it knows by id."""

    clock: FakeClock
    capabilities: Capabilities = CAPABILITIES
    name: str = "runpod"
    account: str = "user:u1"
    usd_per_hour: Decimal = Decimal("0.60")
    address: SshAddress | None = ADDRESS
    console: str = ""
    trouble: str = ""  # what keeps its machines from coming up
    loses_reply: bool = False
    ignores_delete: bool = False
    lingers_s: float = 0.0  # in the list, longer than `list_lag_s` promises
    errors: dict[str, list[Exception]] = field(default_factory=dict)  # call → its next errors
    bill: list[Charge] = field(default_factory=list)
    billed_since_s: float = 0.0  # from when on it was asked for last
    shelf: list[Offer] = field(default_factory=list)  # what is for rent
    machines: dict[str, Machine] = field(default_factory=dict)
    gone_s: dict[str, float] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def said(self, call: str) -> list[str]:
        """What each call of this name was about."""
        return [about for name, about in self.calls if name == call]

    def add(self, label: str, **changes: object) -> Machine:
        machine = Machine(
            id=f"m{len(self.machines) + 1}",
            label=label,
            status=MachineStatus.RUNNING,
            gpu="RTX 4090",
            gpu_count=1,
            usd_per_hour=self.usd_per_hour,
            created_at_s=self.clock.now_s(),
            address=self.address,
        )
        made = replace(machine, **changes)  # type: ignore[arg-type]
        self.machines[made.id] = made
        return made

    def end(self, machine_id: str) -> None:
        """The machine is gone by its id at once, and from the list after its lag."""
        self.gone_s.setdefault(machine_id, self.clock.now_s())

    def list_offers(self, need: Need) -> list[Offer]:
        self._call("offers", "")
        return list(self.shelf)

    def create_machine(self, request: MachineRequest) -> Machine:
        self._call("create", request.label)
        machine = self.add(request.label, gpu_count=request.offer.gpu_count)
        if self.loses_reply:
            raise OutcomeUnknown("the connection broke")
        return machine

    def get_machine(self, machine_id: str) -> Machine:
        self._call("get", machine_id)
        if machine_id not in self.machines or machine_id in self.gone_s:
            raise MachineNotFound(f"no machine {machine_id}")
        return self.machines[machine_id]

    def list_machines(self) -> list[Machine]:
        self._call("list", "")
        lag_s, now_s = self.capabilities.list_lag_s + self.lingers_s, self.clock.now_s()
        return [m for m in self.machines.values() if self.gone_s.get(m.id, now_s) + lag_s > now_s]

    def delete_machine(self, machine_id: str) -> None:
        self._call("delete", machine_id)
        if not self.ignores_delete:
            self.end(machine_id)

    def identity(self) -> str:
        return self.account

    def balance_usd(self) -> Decimal | None:
        return None

    def boot_log(self, machine_id: str, enough: Callable[[str], bool] | None = None) -> str:
        self._call("boot_log", machine_id)
        return self.console

    def boot_trouble(self, machine_id: str) -> str:
        self._call("boot_trouble", machine_id)
        return self.trouble

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        self.billed_since_s = since_s
        return self.bill

    def _call(self, call: str, about: str) -> None:
        self.calls.append((call, about))
        if waiting := self.errors.get(call):
            raise waiting.pop(0)


@dataclass
class Box:
    """A machine's work folder in memory, and what its commands answer."""

    files: dict[str, bytes] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)  # a piece of a command → its reply
    fault: GpuleaseError | None = None
    refuses: GpuleaseError | None = None  # of its disk, which takes nothing
    host_key: str = HOST_KEY
    answers: bool = True  # whether its sshd says its name
    commands: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def say(self, **event: object) -> None:
        """Append one event of the agent."""
        self.files[EVENTS_FILE] = self.files.get(EVENTS_FILE, b"") + encode(event)

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        self._check()
        self.commands.append(command)
        if command.endswith("xargs -0 cat --"):
            names = [name.decode().removeprefix("./") for name in stdin.split(b"\0") if name]
            return Reply(0, b"".join(self.files.get(name, b"") for name in names), b"")
        if command.startswith("wc -c <"):
            name = command.removeprefix("wc -c <")
            return Reply(0, f"{len(self.files.get(name, b''))}\n".encode(), b"")
        found = (reply for piece, reply in self.replies.items() if piece in command)
        return next(found, Reply(0, b"", b""))

    def read(self, path: str, offset: int, limit: int) -> bytes:
        self._check()
        return self.files.get(path, b"")[offset : offset + limit]

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self._check()
        if self.refuses is not None:
            raise self.refuses
        self.written.append(path)
        self.files[path] = data

    def push(self, stream: Iterable[bytes]) -> None:
        raise NotImplementedError

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        self._check()
        yield self.files.get(path, b"")[offset:size_bytes]

    def close(self) -> None:
        """Nothing is open."""

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


@dataclass
class Crate:
    """Cargo that only counts how often it was sent."""

    home: Path
    shipped: list[str] = field(default_factory=list)
    fault: GpuleaseError | None = None  # of shipping
    refusal: GpuleaseError | None = None  # of making the request
    slowly: Callable[[], None] = lambda: None  # what happens before each piece of an upload
    pieces: int = 1

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        if self.refusal is not None:
            raise self.refusal
        launch = run.launch
        return MachineRequest(lease.label, lease.offer, launch.image, launch.disk_gib, "key", "")

    def ship(self, run: Run, lease: Lease, shell: Shell, keep_going: Callable[[], None]) -> None:
        for _ in range(self.pieces):
            self.slowly()
            keep_going()
        if self.fault is not None:
            raise self.fault
        self.shipped.append(lease.label)

    def folder(self, run: Run) -> Path:
        return self.home


@dataclass
class Stage:
    """One run, driven step by step; `restart` is a new process over the same journal."""

    journal: Journal
    home: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW_S))
    box: Box = field(default_factory=Box)
    limits: Limits = field(default_factory=Limits)
    refused: list[str] = field(default_factory=list)  # providers whose key is to be another

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.clock)
        self.crate = Crate(self.home)
        self.restart()

    def restart(self) -> None:
        self.world = World(
            clock=self.clock,
            home_id="homeid",
            accounts=Accounts(lambda _: self.cloud, self.clock, self.refused.append),
            open_shell=lambda _run, lease: self._open(lease),
            cargo=self.crate,
            wish_of=lambda run_id: self.journal.run(run_id).wish,
            answers=lambda _lease: self.box.answers,
            recall=lambda names: recall(
                self.world.accounts, self.journal, names, self.clock.now_s()
            ),
        )
        self.engine = Engine(self.journal, self.world, limits=self.limits)

    def begin(self, **changes: object) -> None:
        """Record a run; as submit does it, unless told otherwise."""
        made = replace(run(leases=(lease(),)), **changes)  # type: ignore[arg-type]
        self.journal.add(made, [], lambda standing: None, 0.0)

    def begin_held(self, state: State, changes: dict[str, object], **run: object) -> None:
        """Record a run whose machine `m1` is rented; `changes` are of its lease."""
        machine = self.cloud.add("label-0")
        held = lease(state=LeaseState.HELD, machine_id=machine.id, sent_s=NOW_S, began_s=NOW_S)
        held = replace(held, usd_per_hour=machine.usd_per_hour)
        held = replace(held, **changes)  # type: ignore[arg-type]
        self.begin(**{"state": state, "leases": (held,), "heard_s": NOW_S, **run})

    @property
    def run(self) -> Run:
        return self.journal.run(RUN_ID)

    @property
    def first(self) -> Lease:
        return self.run.leases[0]

    def drive(self, times: int = 1) -> None:
        """Steps without any time between them."""
        for _ in range(times):
            self.engine.drive(RUN_ID)

    def after(self, seconds: float) -> None:
        """Let time go by, then make one step."""
        self.clock.advance(seconds)
        self.drive()

    def until(self, done: Callable[[Run], bool], *, limit_s: float = 7200.0) -> Run:
        """Drive as the driver does, with its waits, until `done`."""
        end_s = self.clock.now_s() + limit_s
        while not done(self.run):
            seconds = self.engine.drive(RUN_ID)
            assert self.clock.now_s() < end_s, f"stuck: {self.run.state}, {self.run.waiting}"
            self.clock.advance(max(seconds or 0.0, 0.01))
        return self.run

    def state(self) -> State:
        return self.run.state

    def events(self) -> str:
        return "\n".join(text for _, text in self.journal.events(RUN_ID))

    def _open(self, lease: Lease) -> Opened:
        if self.box.fault is not None:
            raise self.box.fault
        if lease.host_key and not is_same_key(lease.host_key, self.box.host_key):
            raise HostKeyMismatch("another host key than the pinned one")
        return Opened(self.box, self.box.host_key)


def armed(label: str = "label-0") -> dict[str, bytes]:
    """The record of a guard that is ready."""
    record = {"label": label, "credential": True, "reachable": True, "boots": 1}
    return {GUARD_FILE: json.dumps(record).encode()}


def listed(path: str, data: bytes, kind: str = "rest") -> dict[str, object]:
    """One file as a manifest names it."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": path, "size_bytes": len(data), "sha256": sha256, "kind": kind}
