"""This computer: a machine is our own folder `gpulease/<label>` and our own processes.

Ending it means ending those processes and removing that folder; never power-off, never another
path. It costs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import InvalidRequest, MachineNotFound, NoCapacity, ProviderDown
from orchestrator.offers.gpus import canonical
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    Capabilities,
    FolderAddress,
    GuardWay,
    Machine,
    MachineRequest,
    Provider,
    ProviderSettings,
)
from orchestrator.providers.local import processes
from orchestrator.providers.nvidia import FoundGpu, find_gpus
from orchestrator.providers.own_machine import (
    FACTS_FILE,
    Computer,
    free_gpus,
    is_label,
    to_environment,
    to_facts,
    to_machine,
    to_offers,
)
from orchestrator.spec.resources import Need

_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def build(settings: ProviderSettings) -> Provider:
    """This computer, with its machines under the settings' home."""
    return Local(settings.home, clock=settings.clock)


class Local(Provider, Account):
    """This computer, as one installation uses it."""

    name = "local"
    capabilities = Capabilities(
        guard=GuardWay.AGENT,
        bills=False,
        rate_limit_is_proof=True,
        boot_deadline_s=60.0,
        poll_s=1.0,
    )

    def __init__(
        self, home: Path, *, clock: Clock | None = None, nvidia_smi: str = "nvidia-smi"
    ) -> None:
        self._home = home.absolute()
        self._root = self._home / "gpulease"
        self._clock = clock or SystemClock()
        self._nvidia_smi = nvidia_smi

    def list_offers(self, need: Need) -> list[Offer]:
        """Free GPUs, one offer per card; with `allow_cpu` this computer without them too."""
        computer = Computer(self.name, "this computer", _ram_gib(), platform.machine())
        return to_offers(computer, self._free_gpus(), need)

    def create_machine(self, request: MachineRequest) -> Machine:
        """Make the folder; GPUs are held by the record in it, under one lock of this home."""
        folder = self._path(request.label)
        with self._locked():
            if folder.exists():
                raise InvalidRequest(f"there is a machine {request.label} on this computer already")
            held = self._choose_gpus(request.offer)
            made = self._root / f".new-{request.label}"
            try:
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir(mode=0o700)
                facts = to_facts(request, held, self._clock.now_s())
                (made / FACTS_FILE).write_text(json.dumps(facts))
                _write_environment(made / protocol.ENVIRONMENT_FILE, to_environment(request, held))
                made.rename(folder)
            except OSError as error:
                raise NoCapacity(f"no room for a machine on this computer: {error}") from error
        return self._to_machine(folder)

    def get_machine(self, machine_id: str) -> Machine:
        folder = self._path(machine_id)
        self._check_home()
        if not _is_folder(folder) and not processes.find(machine_id, folder):
            raise MachineNotFound(f"this computer has no machine {machine_id}")
        return self._to_machine(folder)

    def list_machines(self) -> list[Machine]:
        self._check_home()
        return [self._to_machine(folder) for folder in self._folders()]

    def delete_machine(self, machine_id: str) -> None:
        folder = self._path(machine_id)
        self._check_home()
        if not processes.end(machine_id, folder):
            raise ProviderDown(f"processes of {machine_id} do not end")
        if _is_folder(folder):
            _remove(folder)

    def identity(self) -> str:
        """This computer: a folder that is absent on another one proves nothing."""
        return f"user:{hashlib.sha256(_machine_id().encode()).hexdigest()[:12]}"

    def balance_usd(self) -> Decimal | None:
        return None

    def _path(self, machine_id: str) -> Path:
        if not is_label(machine_id):
            raise InvalidRequest("that is not the id of a machine of this computer")
        return self._root / machine_id

    def _check_home(self) -> None:
        """A home that is not there (an unmounted disk) proves no absence."""
        with suppress(OSError):
            if self._home.is_dir():
                return
        raise ProviderDown(f"the home {self._home} is not there now")

    def _folders(self) -> list[Path]:
        try:
            found = sorted(self._root.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderDown(f"cannot read {self._root}: {error}") from error
        return [path for path in found if is_label(path.name) and _is_folder(path)]

    def _to_machine(self, folder: Path) -> Machine:
        return to_machine(folder.name, _read_facts(folder), FolderAddress(folder))

    def _free_gpus(self) -> list[FoundGpu]:
        machines = {folder.name: _read_facts(folder) for folder in self._folders()}
        return free_gpus(find_gpus(self._nvidia_smi), machines, self._clock.now_s())

    def _choose_gpus(self, offer: Offer) -> list[str]:
        if not offer.gpu_count:
            return []
        free = [gpu.uuid for gpu in self._free_gpus() if canonical(gpu.name) == offer.gpu]
        if len(free) < offer.gpu_count:
            raise NoCapacity(f"{offer.gpu} of this computer is in use")
        return free[: offer.gpu_count]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._root / ".lock").open("w")
        except OSError as error:
            raise NoCapacity(f"cannot make {self._root}: {error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write_environment(path: Path, environment: Mapping[str, str]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\0" for name, value in environment.items()))


def _read_facts(folder: Path) -> dict[str, object]:
    """The record in a machine's folder; empty when it is gone or spoilt."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_folder(path: Path) -> bool:
    """A real folder: a link is not ours, whatever its name.

    Raises: ProviderDown where the disk does not say; only its own word is an absence.
    """
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProviderDown(f"cannot read {path}: {error}") from error


def _remove(folder: Path) -> None:
    """Remove a machine's folder; links in it are removed, never followed."""
    try:
        try:
            shutil.rmtree(folder)
        except PermissionError:
            _make_writable(folder)
            shutil.rmtree(folder)
        except RecursionError:  # a job may make folders deeper than Python goes
            subprocess.run(["rm", "-rf", "--", folder], check=True, capture_output=True)
    except FileNotFoundError:
        return
    except (OSError, subprocess.CalledProcessError) as error:
        raise ProviderDown(f"cannot remove {folder}: {error}") from error


def _make_writable(folder: Path) -> None:
    folder.chmod(0o700)
    for base, names, _ in os.walk(folder):
        for path in (Path(base, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)


def _machine_id() -> str:
    for path in _MACHINE_ID_FILES:
        try:
            if text := path.read_text().strip():
                return text
        except OSError:
            continue
    return f"{platform.node()}-{uuid.getnode()}"


def _ram_gib() -> float:
    import psutil

    return round(psutil.virtual_memory().total / 2**30, 1)
