"""A rented machine in memory: boot guard, agent and program, which do what theirs would do."""

from __future__ import annotations

import functools
import hashlib
import heapq
import io
import itertools
import json
import random
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization

from infra.simcloud.machines.memory import host_key
from infra.simcloud.rented import Rented
from orchestrator.agent import protocol
from orchestrator.agent.protocol import encode
from orchestrator.errors import Unreachable
from orchestrator.remote.shell import Reply
from tests.artifacts.memory_store import MemoryStore
from tests.crash.clouds import credential_of
from tests.crash.uploads import Uploads

_SETUP_S = 2.0
_STEP_S = 4.0
_STOPS_S = 3.0  # SIGTERM → last checkpoint
_FLUSH_S = 1.0
_KEPT_SPARE_S = 60.0
_LAST_LOOK_S = 20.0
_SEND_AGAIN_S = 20.0
_AGAIN_S = 60.0  # the guard's pause between two tries to end
_UNSHIPPED_S = 1200.0
_MODEL = random.Random(0).randbytes(1_300_000)  # more than one range, and more than one group


@dataclass(frozen=True)
class Program:
    """What is trained, and how it ends."""

    seconds: float = 16.0
    exit_code: int = 0
    checkpoint_every_s: float = 8.0
    reads_bytes: int = 0  # in each step, of what its host charges as traffic


class Box:
    """One machine's inside. Time comes to it by `settle`, and only as the cloud's clock says."""

    def __init__(
        self,
        machine: Rented,
        program: Program,
        now_s: float,
        end: Callable[[Rented], bool],
        store: MemoryStore,
    ) -> None:
        self.machine = machine
        self.files: dict[str, bytes] = {}
        self.armed = False
        self.promised: dict[str, dict[str, str]] = {}  # run: path: sha256, as its manifest says
        self._program = program
        self._end = end
        self._store = store
        self._uploads: Uploads | None = None
        self._now_s = now_s
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._step = self.began_at_step = 0
        self._read_bytes = 0
        self._agent = False
        self._over_s: float | None = None
        self._stopping = False
        self._sent_s = 0.0
        self._refused_s: list[float] = []  # when its guard could not end it
        self._hold_s = self._keep_s = 0.0
        self._job = 0
        self._run = ""
        self._life, self._disk = machine.life, machine.disks
        self._boots = 0
        self._arm()

    @property
    def steps_s(self) -> tuple[float, float]:
        """Where its program began and came to, in seconds of work from the job's start."""
        return self.began_at_step * _STEP_S / 10, self._step * _STEP_S / 10

    @property
    def host_key(self) -> str:
        """What its sshd shows: its own, or from some moment on the one that it was given."""
        assert self.machine.boot is not None
        given = self.machine.boot.environment.get("SIMCLOUD_HOST_KEY")
        late_s = float(self.machine.boot.environment.get("SIMCLOUD_CLOUD_INIT_S", 0))
        if given and self._now_s >= self.machine.ssh_open_at_s + late_s:
            return _public_half(given)
        return host_key(self.machine.id, self.machine.disks)

    @property
    def takes_key(self) -> bool:
        """Whether the run's key opens it by now."""
        if "ssh_no_auth" in self.machine.faults:
            return False
        late = self.machine.faults.get("key_late")
        return late is None or self._now_s >= self.machine.ssh_open_at_s + late.seconds(30.0)

    def was_refused(self, since_s: float) -> bool:
        """Whether its guard asked for its end in vain since then, and again a minute later."""
        times = [at_s for at_s in self._refused_s if at_s >= since_s]
        return bool(times) and times[-1] - times[0] > _AGAIN_S / 2

    def next_s(self) -> float | None:
        """When something happens by itself; None: nothing more."""
        return self._due[0][0] if self._due else None

    def settle(self, now_s: float) -> None:
        """Let everything happen that is due."""
        if (self.machine.life, self.machine.disks) != (self._life, self._disk):
            self._now_s = now_s
            self._start_anew()
        while self.machine.is_up and self._due and self._due[0][0] <= now_s:
            self._now_s, _, act = heapq.heappop(self._due)
            act()
        self._now_s = max(self._now_s, now_s)

    def _start_anew(self) -> None:
        """The container's command is started again: no process is left, perhaps no file."""
        self._due.clear()
        self.armed = self._agent = self._stopping = False
        self._over_s = self._uploads = None
        if self.machine.disks != self._disk:
            self.files.clear()
            self._boots = self._step = 0
        self._life, self._disk = self.machine.life, self.machine.disks
        if self.machine.is_up:
            self._arm()

    # what a login can do

    def run(self, command: str, stdin: bytes) -> Reply:
        if command.startswith("nvidia-smi"):
            assert self.machine.boot is not None
            if self.machine.boot.gpu_dead or self.machine.without_gpus:
                return Reply(9, b"No devices were found\n", b"")
            return Reply(0, b"NVIDIA RTX, 16384 MiB, 580.1\n" * self.machine.gpu_count, b"")
        if "cuDriverGetVersion" in command:
            assert self.machine.boot is not None
            if code := self.machine.boot.cuda_error:
                return Reply(1, b"", f"CUDA answers with error {code}\n".encode())
            return Reply(0, b"1 13.0\n", b"")
        if command.endswith("xargs -0 cat --"):
            self.sends()
            names = [name.decode().removeprefix("./") for name in stdin.split(b"\0") if name]
            missing = [name for name in names if name not in self.files]
            found = b"".join(self.files.get(name, b"") for name in names)
            return Reply(1 if missing else 0, found, b"")
        if command.startswith("wc -c <"):
            size_bytes = len(self.files.get(command.removeprefix("wc -c <"), b""))
            return Reply(0, b"%d\n" % size_bytes, b"")
        if "mktemp" in command and f" {protocol.SLOTS_FILE} && case" in command:
            self.files[protocol.SLOTS_FILE] = stdin
            return Reply(0, b"", b"")
        if command == f"python3 {protocol.AGENT} start":
            return self._start_agent()
        if command == f"python3 {protocol.AGENT} guard-status":
            return Reply(
                0,
                encode({"agent_alive": self._agent, "armed": self.armed, "boots": self._boots}),
                b"",
            )
        if command == "cat /proc/uptime":
            return Reply(0, f"{self._now_s - self.machine.life_began_s:.2f} 0.00\n".encode(), b"")
        if command == f"python3 {protocol.AGENT} conclude":
            return self._conclude()
        if command.startswith(f"[ -f {protocol.AGENT} ]"):
            return self._here()
        if command == f"python3 {protocol.AGENT} drop":
            for name in json.loads(stdin):
                self.files.pop(name, None)
            return Reply(0, b"", b"")
        if command.startswith(f"python3 {protocol.AGENT} clear "):
            return self._clear(command.split()[-1])
        raise AssertionError(f"no machine was ever asked to {command!r}")

    def _clear(self, run: str) -> Reply:
        """Room for another run, once everything of the one before was fetched."""
        if self.files.get(protocol.CLEARED_FILE) == run.encode():
            return Reply(0, b"", b"")
        if protocol.FETCHED_FILE not in self.files:
            return Reply(3, b"", b"its job is not over")
        self._job += 1
        self._agent = self._stopping = False
        self._over_s, self._step, self._uploads = None, 0, None
        stays = (protocol.CODE_DIR, protocol.DATA_DIR, protocol.MODEL_DIR)
        kept = (protocol.AGENT, protocol.RUN_FILE, protocol.GUARD_FILE)
        self.files = {
            name: data
            for name, data in self.files.items()
            if name.split("/")[0] in stays or name in kept
        }
        self.files[protocol.DEADLINE_FILE] = f"{int(self._now_s + self._hold_s)}\n".encode()
        self.files[protocol.CLEARED_FILE] = run.encode()
        self._at(self._now_s + self._hold_s + 1, self._obey_deadline)
        return Reply(0, b"", b"")

    def _obey_deadline(self) -> None:
        """As the boot guard reads the file, agent or not."""
        if float(self.files.get(protocol.DEADLINE_FILE, b"inf")) <= self._now_s:
            self._end_machine()

    def _here(self) -> Reply:
        if protocol.AGENT not in self.files:
            return Reply(77, b"", b"")
        rows = b""
        for path, data in self.files.items():
            if path.split("/")[0] in protocol.SENT_DIRS:
                row = f"644 {hashlib.sha256(data).hexdigest()} {len(data)} {path}"
                rows += row.encode() + b"\0"
        return Reply(0, rows, b"")

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data
        if path == protocol.STOP_FILE:
            self._stop(protocol.WHY_STOPPED)
        if path == protocol.DEADLINE_FILE:
            self._at(float(data), self._obey_deadline)
        if path == protocol.FETCHED_FILE and self._keep_s:
            self._of_job(self._now_s + self._keep_s + _KEPT_SPARE_S, self._end_machine)

    def push(self, stream: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
            for entry in archive:
                if (file := archive.extractfile(entry)) is not None:
                    self.files[entry.name] = file.read()

    def sends(self) -> None:
        """Somebody fetches: the hold starts anew."""
        self._sent_s = self._now_s

    # the boot guard

    def _arm(self) -> None:
        """What the start command that really came with the create would do."""
        assert self.machine.boot is not None
        guard = "\n".join(self.machine.boot.argv)
        label = re.search(r'"label\\":\\"(gl1-[a-z0-9-]+)\\"', guard)
        deadline = re.search(r"\bd=(\d+) f=", guard)
        seconds = re.search(r"up-s\)\) -ge (\d+) \] && end", guard)
        if label is None or deadline is None or seconds is None:
            return
        self.armed = True
        self._boots += 1
        if self._boots > 1 and protocol.RUN_FILE not in self.files:
            self._at(self._now_s, self._end_machine)
        credential = bool(credential_of(self.machine))
        record: dict[str, object] = {"label": label[1], "credential": credential, "reachable": True}
        record["boots"] = self._boots
        self.files[protocol.GUARD_FILE] = encode(record)
        ends_s = min(float(deadline[1]), self._now_s + float(seconds[1]))
        self._at(max(self._now_s, ends_s), self._end_machine)
        self._at(self._now_s + _UNSHIPPED_S, self._end_unshipped)

    def _end_unshipped(self) -> None:
        if protocol.RUN_FILE not in self.files or self._boots > 1:
            self._end_machine()

    def _end_machine(self) -> None:
        if self.armed and not self._end(self.machine):
            self._refused_s.append(self._now_s)
            self._at(self._now_s + _AGAIN_S, self._end_machine)

    # the agent

    def _start_agent(self) -> Reply:
        if self._agent:
            return Reply(0, encode({"started": True, "pid": 2, "again": True}), b"")
        run = json.loads(self.files[protocol.RUN_FILE])
        assert run["label"] == self.machine.label, "the run file is another machine's"
        assert {protocol.AGENT, "code/train.py"} <= self.files.keys(), "something was not shipped"
        self._agent = True
        self._hold_s, self._keep_s, self._run = run["hold_s"], run["keep_s"], run["run"]
        self._say("phase", phase="setup", state="started")
        self._of_job(self._now_s + _SETUP_S, self._begin)
        if run["upload"] is not None:
            self._uploads = Uploads(self._store, self.files, run, self._say)
            self._every_s = float(run["checkpoints_every_s"])
            self._saved_s = self._now_s
            self._of_job(self._now_s + self._uploads.every_s, self._send_what_comes)
        self._of_job(run["stop_at"], lambda: self._stop(protocol.WHY_DEADLINE))
        self._of_job(run["deadline_at"], self._end_machine)
        return Reply(0, encode({"started": True, "pid": 2}), b"")

    def _conclude(self) -> Reply:
        """Another agent gives back what one that died has left."""
        self._agent = True
        if protocol.EXIT_FILE in self.files:
            self._over_s = self._now_s
            self._of_job(self._now_s + _FLUSH_S, self._list_files)
        else:
            self._write_exit(protocol.WHY_FINISHED, 1)
        return Reply(0, b"", b"")

    def _begin(self) -> None:
        if self._stopping:
            return
        self._say("phase", phase="setup", state="ended")
        self._say("phase", phase="program", state="started")
        self.began_at_step = self._step = self._saved_step()
        self.files[protocol.LOG_FILE] = b"training\n"
        self._of_job(self._now_s + _STEP_S, self._make_step)
        self._of_job(self._now_s + self._program.seconds, self._finish)

    def _saved_step(self) -> int:
        """Where a program goes on whose checkpoint was shipped with it."""
        saved = re.compile(rf"{protocol.CHECKPOINTS_DIR}/step-(\d+)/{protocol.CHECKPOINT_COMPLETE}")
        found = [int(match[1]) for name in self.files if (match := saved.fullmatch(name))]
        return max(found, default=0) // 10 * 10

    def _make_step(self) -> None:
        if self._stopping or self._over_s is not None:
            return
        self._step += 10
        self._read(self._program.reads_bytes)
        self._say("progress", step=self._step, steps=100, loss=1.0 / self._step)
        self.files[protocol.LOG_FILE] += f"step {self._step}\n".encode()
        if self._step * _STEP_S / 10 % self._program.checkpoint_every_s == 0:
            self._checkpoint()
        self._of_job(self._now_s + _STEP_S, self._make_step)

    def _read(self, size_bytes: int) -> None:
        """From anywhere; the agent says what its network counted since it began."""
        if size_bytes:
            self.machine.traffic.add_in(size_bytes)
            self._read_bytes += size_bytes
            self._say("host", received_bytes=self._read_bytes, sent_bytes=0)

    def _checkpoint(self) -> None:
        folder = f"{protocol.CHECKPOINTS_DIR}/step-{self._step}"
        weights = hashlib.sha256(folder.encode()).digest() * 64
        self.files[f"{folder}/weights.bin"] = weights
        listed = {
            "path": "weights.bin",
            "size_bytes": len(weights),
            "sha256": hashlib.sha256(weights).hexdigest(),
        }
        record = {"step": self._step, "at": self._now_s, "files": [listed]}
        self.files[f"{folder}/{protocol.CHECKPOINT_COMPLETE}"] = encode(record)
        self._say("checkpoint", step=self._step, path=folder, size_bytes=len(weights))

    def _stop(self, why: str) -> None:
        if self._stopping or self._over_s is not None:
            return
        self._stopping = True
        self._of_job(self._now_s + _STOPS_S, lambda: self._stopped(why))

    def _stopped(self, why: str) -> None:
        if self._step:
            self._step += 1
            self._checkpoint()
        self._write_exit(why, 143)

    def _finish(self) -> None:
        if not self._stopping:
            self._write_exit(protocol.WHY_FINISHED, self._program.exit_code)

    def _write_exit(self, why: str, code: int) -> None:
        self._over_s = self._now_s
        if code == 0:
            self.files[f"{protocol.OUTPUT_DIR}/model/model.safetensors"] = _MODEL
            self.files[f"{protocol.OUTPUT_DIR}/notes.txt"] = b"what was learnt\n"
            self.files[protocol.METRICS_FILE] = b'{"eval_accuracy": 0.9}\n'
        record: dict[str, object] = {
            "protocol": protocol.PROTOCOL,
            "exit_code": code,
            "why": why,
            "phase": "program",
            "ended_at": self._now_s,
            "message": "",
        }
        self.files[protocol.EXIT_FILE] = encode(record)
        self._say("exited", **record)
        self._of_job(self._now_s + _FLUSH_S, self._list_files)

    def _list_files(self) -> None:
        kept = sorted(
            name for name in self.files if name.startswith(f"{protocol.CHECKPOINTS_DIR}/")
        )
        names = [protocol.EXIT_FILE, protocol.METRICS_FILE, protocol.LOG_FILE]
        names += sorted(name for name in self.files if name.startswith(f"{protocol.OUTPUT_DIR}/"))
        rows = [self._row(name) for name in (*names, *kept[-4:]) if name in self.files]
        self.promised[self._run] = {str(row["path"]): str(row["sha256"]) for row in rows}
        manifest = {"protocol": protocol.PROTOCOL, "at": self._now_s, "files": rows}
        self.files[protocol.MANIFEST_FILE] = encode(manifest)
        self._say("ready", manifest=True)
        self._sent_s = self._now_s
        if self._uploads is not None:
            self._of_job(self._now_s + _FLUSH_S, self._send_all)
        self._of_job(self._now_s + self._hold_s, self._hold_is_over)

    def _send_what_comes(self) -> None:
        if self._uploads is None or self._over_s is not None:
            return
        due = self._now_s - self._saved_s >= self._every_s / 2
        self._uploads.send_what_comes(self._now_s, checkpoints=due)
        if due:
            self._saved_s = self._now_s
        self._of_job(self._now_s + self._uploads.every_s, self._send_what_comes)

    def _send_all(self) -> None:
        """Nothing else holds the machine; whoever watches it has a moment for a last look."""
        assert self._uploads is not None
        if self._uploads.send_all(self._now_s):
            self._of_job(self._now_s + _LAST_LOOK_S, self._uploaded)
        else:
            self._of_job(self._now_s + _SEND_AGAIN_S, self._send_all)

    def _uploaded(self) -> None:
        if not (self._keep_s and protocol.FETCHED_FILE in self.files):
            self._end_machine()

    def _hold_is_over(self) -> None:
        if self._keep_s and protocol.FETCHED_FILE in self.files:
            return  # from then on another time counts
        if self._sent_s + self._hold_s > self._now_s:
            self._of_job(self._sent_s + self._hold_s, self._hold_is_over)
        else:
            self._end_machine()

    def _row(self, path: str) -> dict[str, object]:
        kinds = {
            protocol.EXIT_FILE: "exit",
            protocol.METRICS_FILE: "metrics",
            protocol.LOG_FILE: "logs",
        }
        kind = kinds.get(path, "rest")
        if path.startswith(f"{protocol.OUTPUT_DIR}/model/"):
            kind = "model"
        if path.startswith(f"{protocol.CHECKPOINTS_DIR}/"):
            kind = "checkpoint"
        data = self.files[path]
        sha256 = hashlib.sha256(data).hexdigest()
        return {"path": path, "size_bytes": len(data), "sha256": sha256, "kind": kind}

    def _say(self, event: str, **fields: object) -> None:
        line = encode({"at": self._now_s, "event": event, **fields})
        self.files[protocol.EVENTS_FILE] = self.files.get(protocol.EVENTS_FILE, b"") + line

    def _of_job(self, at_s: float, act: Callable[[], None]) -> None:
        """What only the agent of the job of now does: none after it was cleared away."""
        job = self._job
        self._at(at_s, lambda: act() if job == self._job else None)

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), act))


@functools.lru_cache(maxsize=8)
def _public_half(private_key: str) -> str:
    """The OpenSSH line of a host key."""
    key = serialization.load_ssh_private_key(private_key.encode(), None)
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return line.decode()


@dataclass
class Login:
    """A shell on a box, as long as the machine lives and can be reached."""

    box: Box
    took: Callable[[], None]  # what an exchange with the machine takes
    life: int  # of the machine, in which it was opened
    open: bool = field(default=True)

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        self._exchange()
        return self.box.run(command, stdin)

    def read(self, path: str, offset: int, limit: int) -> bytes:
        self._check()
        return self.box.files.get(path, b"")[offset : offset + limit]

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self._exchange()
        self.box.write(path, data)

    def push(self, stream: Iterable[bytes]) -> None:
        data = b"".join(stream)
        self._exchange()
        self.box.push(data)

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        self._exchange()
        self.box.sends()
        yield self.box.files.get(path, b"")[offset:size_bytes]

    def close(self) -> None:
        self.open = False

    def _exchange(self) -> None:
        self._check()
        self.took()
        self._check()

    def _check(self) -> None:
        machine = self.box.machine
        if not self.open or not machine.is_up or machine.is_cut or machine.life != self.life:
            raise Unreachable("no answer from the machine")
