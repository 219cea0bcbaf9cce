"""A person's own workstation over SSH: a machine is a folder `gpulease/<label>` there.

Each host of the config file is an account of its own, `ssh_host:NAME`: one that is off hides no
other. Everything goes through the person's OpenSSH; the run's own key is put nowhere.
"""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    RemoteError,
    UsageError,
)
from orchestrator.offers.gpus import canonical
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    Capabilities,
    GuardWay,
    Machine,
    MachineRequest,
    OwnLogin,
    Provider,
    ProviderSettings,
    SshAddress,
)
from orchestrator.providers.own_machine import free_gpus, is_label, to_machine, to_offers
from orchestrator.providers.ssh_host import mapping
from orchestrator.remote.hosts import Host
from orchestrator.remote.openssh import Connection, OpenSshShell, login_command
from orchestrator.remote.shell import Shell
from orchestrator.spec.resources import Need

_ANSWER_S = 75.0  # its lock and nvidia-smi are waited for there
_NOT_AGAIN_S = 5.0  # after a login that failed, also by those who only repeat a read


def build(settings: ProviderSettings) -> Provider:
    """The workstation of the settings. Raises: UsageError without one."""
    if settings.host is None:
        raise UsageError("no host of the config file is named", hint="--provider ssh_host:NAME")
    return SshHost(settings.host, settings.home, clock=settings.clock)


class SshHost(Provider, Account, OwnLogin):
    """One workstation, as one installation uses it."""

    capabilities = Capabilities(
        guard=GuardWay.AGENT,
        bills=False,
        settle_s=90.0,
        boot_deadline_s=120.0,
        poll_s=5.0,
    )

    def __init__(self, host: Host, home: Path, *, clock: Clock | None = None) -> None:
        self.name = f"ssh_host:{host.name}"
        self._host = host
        self._folder = home / "hosts"
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._identity = ""  # of the computer at the other end of this connection
        self._failed: tuple[RemoteError, float] | None = None

    def list_offers(self, need: Need) -> list[Offer]:
        """Free GPUs, one offer per card; with `allow_cpu` the workstation without them too."""
        look = self._look(gpus=True)
        free = free_gpus(look.gpus, look.records, self._clock.now_s())
        return to_offers(look.computer, free, need)

    def create_machine(self, request: MachineRequest) -> Machine:
        """Make the folder; GPUs are held by the record in it, under one lock of that computer."""
        self._check(request.label)
        offer = request.offer
        try:
            look = self._look(gpus=bool(offer.gpu_count))
        except ProviderDown as error:  # nothing was asked for yet
            raise NoCapacity(error.problem, hint=error.hint) from error
        gpus = [gpu.uuid for gpu in look.gpus if canonical(gpu.name) == offer.gpu]
        words = mapping.create_words(request, look, gpus, self._clock.now_s())
        try:
            answer = self._ask("create", **words)
        except (BadCredentials, ProviderDown) as error:
            raise OutcomeUnknown(error.problem, hint=error.hint) from error
        facts = mapping.to_created(answer, self._host.name)
        return to_machine(request.label, facts, self._address)

    def get_machine(self, machine_id: str) -> Machine:
        self._check(machine_id)
        record = mapping.to_record(self._ask("find", label=machine_id), self._host.name)
        if record is None:
            raise MachineNotFound(f"{self._host.name} has no machine {machine_id}")
        return to_machine(machine_id, record, self._address)

    def list_machines(self) -> list[Machine]:
        records = self._look(gpus=False).records
        return [to_machine(label, facts, self._address) for label, facts in records.items()]

    def delete_machine(self, machine_id: str) -> None:
        self._check(machine_id)
        self._ask("end", label=machine_id)

    def identity(self) -> str:
        """That computer and login: absence on another one proves nothing."""
        with self._lock:
            if self._connection is not None and self._identity:
                return self._identity
        return self._look(gpus=False).identity

    def balance_usd(self) -> Decimal | None:
        return None

    def open_shell(self, machine_id: str) -> Shell:
        self._check(machine_id)
        return OpenSshShell(Connection(self._host, self._known_hosts()), f"gpulease/{machine_id}")

    def login_command(self, machine_id: str) -> list[str]:
        return login_command(self._host, self._known_hosts(), "-t")

    def close(self) -> None:
        """End the kept connection; the next call opens another."""
        with self._lock:
            self._drop()

    @property
    def _address(self) -> SshAddress:
        return SshAddress(self._host.address, self._host.port or 22, self._host.user)

    def _check(self, machine_id: str) -> None:
        if not is_label(machine_id):
            raise InvalidRequest("that is not the id of a machine of a workstation")

    def _known_hosts(self) -> Path:
        if self._host.host_key:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder

    def _look(self, *, gpus: bool) -> mapping.Look:
        answer = self._ask("look", **mapping.look_words(gpus=gpus))
        return mapping.to_look(answer, self.name, self._host.name)

    def _ask(self, do: str, **words: object) -> mapping.Answer:
        """One operation there. Raises: BadCredentials, ProviderDown."""
        program = mapping.to_program(do, **words)
        with self._lock:
            try:
                reply = self._connect().run(mapping.PYTHON, stdin=program, timeout_s=_ANSWER_S)
            except RemoteError as error:
                self._drop()
                raise mapping.to_error(error) from error
            answer = mapping.to_answer(reply, self._host.name)
            self._identity = mapping.to_identity(answer) or self._identity
            return answer

    def _connect(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._failed is not None and self._clock.awake_s() < self._failed[1]:
            raise self._failed[0]
        try:
            self._connection = Connection(self._host, self._known_hosts())
        except RemoteError as error:
            self._failed = error, self._clock.awake_s() + _NOT_AGAIN_S
            raise
        self._failed = None
        return self._connection

    def _drop(self) -> None:
        connection, self._connection, self._identity = self._connection, None, ""
        if connection is not None:
            connection.close()
