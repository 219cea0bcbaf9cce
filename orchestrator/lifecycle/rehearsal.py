"""A rehearsal: the first batch of a job on this computer, by the agent and program of a run.

It happens in one folder of this home's cache, where environment and model stay for the next time.
Nothing is rented. Of one's own code nothing runs: only what can be known without it is found out.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from orchestrator.agent import protocol
from orchestrator.clock import Clock
from orchestrator.errors import AgentFault
from orchestrator.lifecycle.cargo import SETTINGS_FILE, data_entries, program_entries, settings
from orchestrator.lifecycle.checkup import Finding
from orchestrator.lifecycle.material import HUB_TOKEN
from orchestrator.lifecycle.plan import Material
from orchestrator.lifecycle.rehearsal_events import Heard
from orchestrator.lifecycle.report import printable, to_metrics, to_record
from orchestrator.lifecycle.secrets import send_secret
from orchestrator.remote.bundle import Entry, bundle, bytes_entry
from orchestrator.remote.code import code_files
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.render import agent_zipapp
from orchestrator.sizing.memory import GIB
from orchestrator.spec.programs import load_program

LIMIT_S = 1800.0
_LOOK_S = 0.2
_SILENT_S = 60.0  # the agent samples its host every 10 s
_SPARE_S = 60.0  # until the agent ends by itself, where nobody ends it
_READ_BYTES = 1 << 20
_KEPT_FILE = "kept.json"
_LOCK_FILE = "lock"
_STAYS = (protocol.VENV_DIR, protocol.MODEL_DIR, protocol.LOG_FILE, _KEPT_FILE, _LOCK_FILE)

_ENVIRONMENT_BYTES = int(2.5 * GIB)  # of causal-lm for the CPU: 1.9 GiB (2026-11-28)
_SPARE_DISK_BYTES = 1 * GIB
_SYNTAX_ERROR = re.compile(r'File "([^"\n]+)", line (\d+)\n(?:.*\n){0,3}?(\w+Error: .+)')
_PLATFORM = "x86_64-manylinux_2_28"  # of the machines that are rented


@dataclass(frozen=True, slots=True)
class Room:
    """What this computer has left."""

    ram_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Where rehearsals take place, and with what."""

    folder: Path
    clock: Clock
    tell: Callable[[str], None]  # a sentence on the way
    secret: Callable[[str], str | None]
    room: Callable[[Path], Room]
    private: tuple[Path, ...] = ()  # files and folders of ours that are no part of a job
    limit_s: float = LIMIT_S


def measure_room(folder: Path) -> Room:
    """The room that this computer has now."""
    import psutil

    return Room(psutil.virtual_memory().available, shutil.disk_usage(folder).free)


def rehearse(material: Material, stage: Stage) -> list[Finding]:
    """What would go wrong with the job that reading it does not show.

    Raises: SpecError when its files cannot be read. Whatever ends it, nothing goes on running.
    """
    stage.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(stage.folder / _LOCK_FILE) as alone:
        if not alone:
            busy = "another `check --full` of this home is at work"
            return [("rehearsal", False, busy, "wait for its end")]
        return _Rehearsal(material, stage).perform()


class _Rehearsal:
    def __init__(self, material: Material, stage: Stage) -> None:
        self._material = material
        self._job = material.job
        self._launch = material.launch
        self._stage = stage
        self._shell = FolderShell(stage.folder)
        self._python = shlex.quote(sys.executable)
        self._kept = to_record((stage.folder / _KEPT_FILE).read_bytes()) if self._has_kept else None

    def perform(self) -> list[Finding]:
        self._clear()
        if lacking := self._lack_of_room():
            return [lacking]
        try:
            self._ship()
            return self._findings(self._follow())
        finally:
            self._clear()

    @property
    def _has_kept(self) -> bool:
        return (self._stage.folder / _KEPT_FILE).is_file()

    def _clear(self) -> None:
        """End what runs here, and leave only what the next time may use."""
        folder = self._stage.folder
        if (folder / protocol.AGENT).exists():
            self._shell.run(f"{self._python} {protocol.AGENT} kill")
        for path in folder.iterdir():
            if path.name in _STAYS and not path.is_symlink():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _lack_of_room(self) -> Finding | None:
        need, room = self._material.footprint, self._stage.room(self._stage.folder)
        if need is None:
            return None
        if need.cpu_bytes > room.ram_bytes:
            return (
                "rehearsal",
                False,
                f"a first batch on this CPU takes about {_gib(need.cpu_bytes)} of memory, and "
                f"{_gib(room.ram_bytes)} are free: this model cannot be tried here",
                "close what else runs, lower per_device_train_batch_size or max_length, or check "
                "without --full",
            )
        data = self._job.data
        files = [path for path in (data.train, data.eval) if path] if data else []
        data_bytes = sum(path.stat().st_size for path in files)
        disk_bytes = need.download_bytes + need.result_bytes + data_bytes + _SPARE_DISK_BYTES
        disk_bytes += 0 if self._has_environment else _ENVIRONMENT_BYTES
        if disk_bytes > room.disk_bytes:
            found = f"it takes {_gib(disk_bytes)} of disk, and {_gib(room.disk_bytes)} are free"
            return ("rehearsal", False, found, f"make room where {self._stage.folder} lies")
        return None

    @property
    def _environment_digest(self) -> str:
        lock = self._launch.requirements.get("cpu")
        if self._job.code is not None or lock is None:
            return ""
        requirements = load_program(self._launch.program).folder / lock
        text = f"{self._launch.python}\n{requirements.read_text()}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _has_environment(self) -> bool:
        digest = self._environment_digest
        is_there = (self._stage.folder / protocol.VENV_DIR).is_dir()
        return bool(digest) and is_there and (self._kept or {}).get("environment") == digest

    @property
    def _model_name(self) -> str:
        launch = self._launch
        return f"{launch.model_id}@{launch.model_revision}" if launch.model_id else ""

    @property
    def _has_model(self) -> bool:
        name, is_there = self._model_name, (self._stage.folder / protocol.MODEL_DIR).is_dir()
        return bool(name) and is_there and (self._kept or {}).get("model") == name

    def _ship(self) -> None:
        folder = self._stage.folder
        (folder / _KEPT_FILE).unlink(missing_ok=True)  # until it is known to be whole again
        (folder / protocol.LOG_FILE).unlink(missing_ok=True)
        if not self._has_model:
            _remove(folder / protocol.MODEL_DIR)
        if self._launch.model_folder:
            (folder / protocol.MODEL_DIR).symlink_to(self._launch.model_folder)
        entries = [
            *self._code(),
            bytes_entry(protocol.AGENT, agent_zipapp()),
            bytes_entry(protocol.RUN_FILE, protocol.encode(self._run_file())),
        ]
        told = {**settings(self._launch, self._job), "rehearse": True}
        entries.append(bytes_entry(SETTINGS_FILE, json.dumps(told).encode()))
        self._shell.push(bundle(entries))
        token = self._stage.secret(HUB_TOKEN) if HUB_TOKEN in self._launch.secrets else None
        if token is not None:
            body = json.dumps({HUB_TOKEN: token}).encode()
            send_secret(self._shell, protocol.SECRETS_FILE, body, in_memory=False)

    def _code(self) -> list[Entry]:
        if self._job.code is not None:
            return code_files(self._job.code.path, self._stage.private).entries(protocol.CODE_DIR)
        return [*program_entries(self._launch.program), *data_entries(self._job)]

    def _run_file(self) -> dict[str, object]:
        launch, now_s = self._launch, self._stage.clock.now_s()
        model = None
        if self._job.code is None and launch.model_id and not self._has_model:
            model = {
                "id": launch.model_id,
                "revision": launch.model_revision,
                "endpoint": launch.model_endpoint,
            }
        return {
            "protocol": protocol.PROTOCOL,
            "run": "rehearsal",
            "label": "rehearsal",
            "created_at": now_s,
            "deadline_at": now_s + self._stage.limit_s + _SPARE_S,
            "hold_s": 0,
            "ends_machine": False,
            "device": "cpu",
            "setup": None,
            "requirements": launch.requirements.get("cpu"),  # the agent knows what it made
            "try_for": _PLATFORM if self._job.code else None,
            "python": launch.python,
            "model": model,
            "command": self._own_command() if self._job.code else list(launch.command),
            "environment": dict(self._job.env),
            "grace_s": 5,
        }

    def _own_command(self) -> list[str]:
        """Of one's own code: do the Python files that the command names compile?"""
        files = self._named_files()
        return ["python", "-m", "py_compile", *files] if files else ["true"]

    def _named_files(self) -> list[str]:
        assert self._job.code is not None
        folder = self._job.code.path
        words = self._job.code.command.replace(";", " ").split()
        return [word for word in words if word.endswith(".py") and (folder / word).is_file()]

    def _follow(self) -> Heard:
        stage, heard = self._stage, Heard(self._sentences(), self._stage.tell)
        reply = self._shell.run(f"{self._python} {protocol.AGENT} start")
        if reply.exit_code != 0:
            words = reply.stderr.decode(errors="replace").strip()[-300:]
            raise AgentFault(f"the agent did not start: {words}")
        nothing, began_s = Event(), stage.clock.awake_s()
        heard_s = began_s
        while not heard.is_over:
            data = self._shell.read(protocol.EVENTS_FILE, heard.offset, _READ_BYTES)
            now_s = stage.clock.awake_s()
            heard_s = now_s if heard.take(data, now_s) else heard_s
            if now_s - began_s >= stage.limit_s:
                heard.give_up(f"not done after {stage.limit_s / 60:.0f} minutes")
            elif now_s - heard_s >= _SILENT_S:
                heard.give_up("its agent died")
            elif not heard.is_over:
                stage.clock.wait(nothing, _LOOK_S)
        return heard

    def _sentences(self) -> dict[str, str]:
        """What is told when a phase begins."""
        if self._job.code is not None:
            return {"setup": "environment: resolving the requirements for the machine"}
        told = {"program": "first batch: training it on this CPU"}
        if not self._has_environment:
            told["setup"] = "environment: installing what the program needs (kept for later)"
        if self._model_name and not self._has_model:
            told["download"] = f"model: downloading {self._launch.model_id} (kept for later)"
        return told

    def _findings(self, heard: Heard) -> list[Finding]:
        log = f"all that was said: {self._stage.folder / protocol.LOG_FILE}"
        if heard.began_program and self._job.code is None:
            self._keep()
        findings = heard.findings(log, self._made())
        if self._job.code is not None:
            return [*findings[:-1], *self._of_own_code(findings[-1])]
        if findings[-1][1]:
            findings[-1] = ("first batch", True, self._result_sentence(), "")
        if self._job.setup:
            findings.append(("setup", None, "not run here: it is for the machine", ""))
        return findings

    def _keep(self) -> None:
        record: dict[str, object] = {"model": self._model_name}
        record["environment"] = self._environment_digest
        self._shell.write(_KEPT_FILE, protocol.encode(record))
        self._kept = record

    def _made(self) -> dict[str, str]:
        lock = self._launch.requirements.get("cpu")
        if self._job.code is not None:
            machine = f"Python {self._launch.python} on {_PLATFORM}"
            return {"setup": f"{lock} resolves for {machine}"} if lock else {}
        made = {"setup": f"made from {lock}"}
        return made | ({"download": self._launch.model_id} if self._model_name else {})

    def _of_own_code(self, last: Finding) -> Iterator[Finding]:
        files = self._named_files()
        if last[0] == "environment":
            yield last
        elif last[1] is False:
            yield ("code", False, self._syntax_error() or last[2], last[3])
        elif files:
            yield ("code", True, f"{', '.join(files)}: valid Python {self._launch.python}", "")
        yield ("first batch", None, "not run: what the command does is its own", "")

    def _syntax_error(self) -> str:
        """The last one in the log, as `file:line: words`."""
        said = self._shell.read(protocol.LOG_FILE, 0, _READ_BYTES).decode(errors="replace")
        found = _SYNTAX_ERROR.findall(said)
        return printable("{}:{}: {}".format(*found[-1])) if found else ""

    def _result_sentence(self) -> str:
        folder = self._stage.folder
        try:
            metrics = to_metrics(json.loads((folder / protocol.METRICS_FILE).read_bytes()))
        except (OSError, ValueError):
            metrics = {}
        losses = [
            f"{name.replace('_', ' ')} {metrics[name]:.4g}"
            for name in ("train_loss", "eval_loss")
            if isinstance(metrics.get(name), float)
        ]
        output = folder / protocol.OUTPUT_DIR
        size_bytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
        written = f"results of {size_bytes / 2**20:.1f} MiB written"
        return ", ".join(["one step", *losses, written])


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody else is at work in this folder; nobody begins before the block ends."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"
