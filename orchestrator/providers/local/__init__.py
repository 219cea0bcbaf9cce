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
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.budget.price import Price
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import InvalidRequest, MachineNotFound, NoCapacity, ProviderDown
from orchestrator.offers.gpus import canonical, card
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    Capabilities,
    FolderAddress,
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
    Provider,
    ProviderSettings,
)
from orchestrator.providers.local import processes
from orchestrator.providers.local.nvidia import FoundGpu, find_gpus
from orchestrator.runs.label import parse_label
from orchestrator.spec.resources import Need

_FACTS = "machine.json"
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
# A desktop keeps some hundred MiB; more than this, and somebody computes.
_IDLE_GPU_GIB = 1.0


def build(settings: ProviderSettings) -> Provider:
    """This computer, with its machines under the settings' home."""
    return Local(settings.home)


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
        free: dict[str, list[FoundGpu]] = {}
        for gpu in self._free_gpus():
            free.setdefault(canonical(gpu.name), []).append(gpu)
        offers = [_to_offer(name, gpus, need) for name, gpus in free.items()]
        return [*offers, *([_without_gpu()] if need.allow_cpu else [])]

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
                facts = {
                    "created_at": self._clock.now_s(),
                    "gpu": request.offer.gpu,
                    "gpus": [gpu.uuid for gpu in held],
                }
                (made / _FACTS).write_text(json.dumps(facts))
                _write_environment(made / protocol.ENVIRONMENT_FILE, request, held)
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
        if not _LABEL.fullmatch(machine_id):
            raise InvalidRequest("that is not the id of a machine of this computer")
        return self._root / machine_id

    def _check_home(self) -> None:
        """A home that is not there (an unmounted disk) proves no absence."""
        if not self._home.is_dir():
            raise ProviderDown(f"the home {self._home} is not there now")

    def _folders(self) -> list[Path]:
        try:
            found = sorted(self._root.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderDown(f"cannot read {self._root}: {error}") from error
        return [path for path in found if _LABEL.fullmatch(path.name) and _is_folder(path)]

    def _to_machine(self, folder: Path) -> Machine:
        facts = _read_facts(folder)
        label = parse_label(folder.name)
        created_at = facts.get("created_at")
        gpus = facts.get("gpus")
        return Machine(
            id=folder.name,
            label=folder.name,
            status=MachineStatus.RUNNING,
            gpu=str(facts.get("gpu", "")),
            gpu_count=len(gpus) if isinstance(gpus, list) else 0,
            usd_per_hour=Decimal(0),
            created_at_s=(
                float(created_at)
                if isinstance(created_at, int | float)
                else float(label.created_s if label else 0)
            ),
            address=FolderAddress(folder),
        )

    def _free_gpus(self) -> list[FoundGpu]:
        held = {
            uuid
            for folder in self._folders()
            if isinstance(gpus := _read_facts(folder).get("gpus"), list)
            for uuid in gpus
        }
        found = find_gpus(self._nvidia_smi)
        return [gpu for gpu in found if gpu.uuid not in held and gpu.used_gib <= _IDLE_GPU_GIB]

    def _choose_gpus(self, offer: Offer) -> list[FoundGpu]:
        if not offer.gpu_count:
            return []
        free = [gpu for gpu in self._free_gpus() if canonical(gpu.name) == offer.gpu]
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


def _to_offer(name: str, gpus: list[FoundGpu], need: Need) -> Offer:
    known = card(name)
    count = min(max(1, need.gpu_count), len(gpus))
    return Offer(
        id=f"this computer {name} x{count}",
        provider="local",
        gpu=name,
        gpu_count=count,
        gpu_memory_gib=known.memory_gib if known else round(gpus[0].memory_gib, 1),
        cuda=gpus[0].cuda,
        compute_capability=gpus[0].compute_capability,
        price=Price(Decimal(0)),
        trust="secure",
        stock="high",
        ram_gib=_ram_gib(),
        architecture=_architecture(),
    )


def _without_gpu() -> Offer:
    return Offer(
        id="this computer",
        provider="local",
        gpu="",
        gpu_count=0,
        gpu_memory_gib=0.0,
        price=Price(Decimal(0)),
        trust="secure",
        stock="high",
        ram_gib=_ram_gib(),
        architecture=_architecture(),
    )


def _write_environment(path: Path, request: MachineRequest, gpus: list[FoundGpu]) -> None:
    """What a container would have got from its provider; without a GPU none is to be seen."""
    environment = {
        **request.environment,
        processes.LABEL_VARIABLE: request.label,
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus),
    }
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\0" for name, value in environment.items()))


def _read_facts(folder: Path) -> dict[str, object]:
    """The record in a machine's folder; empty when it is gone or spoilt."""
    try:
        facts = json.loads((folder / _FACTS).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_folder(path: Path) -> bool:
    """A real folder: a link is not ours, whatever its name."""
    return path.is_dir() and not path.is_symlink()


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


def _architecture() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)
