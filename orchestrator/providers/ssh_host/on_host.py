"""What is done on a workstation: `python3 -I -` there reads this text and a call of `main`.

Python 3.8, standard library, Linux; nothing of it stays there. All that it ever makes, changes or
ends is a folder `gpulease/<label>` of the login's home, and the processes of that machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.providers.ssh_host.mapping import Answer

ROOT = "gpulease"
FACTS_FILE = "machine.json"
ENVIRONMENT_FILE = "machine.env"
PID_FILE = "agent.pid"
LABEL_VARIABLE = "GPULEASE_LABEL"
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PREFIX = "gl1-"
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_NVIDIA_S = 20.0
_PAUSE_S = 0.05
_LOCK_PAUSES = 200  # 10 s
_TERM_PAUSES = 60  # 3 s
_ROUNDS = 5


class Refused(Exception):
    """Nothing was made; the first word says why."""


def main(text: str) -> None:
    """Do what a JSON request asks, and print one JSON answer."""
    request = json.loads(text)
    operations: dict[str, Callable[[Answer], Answer]] = {
        "look": look,
        "create": create,
        "find": find,
        "end": end,
    }
    try:
        if not Path.home().is_dir():  # a disk that is not mounted proves no absence
            raise OSError("its home folder is not there now")
        answer = operations[request["do"]](request)
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    except OSError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


def look(request: Answer) -> Answer:
    """The computer, its machines, and what nvidia-smi prints when the request names arguments."""
    table = request.get("nvidia_smi") or []
    return {
        "identity": _identity(),
        "root": str(_root()),
        "ram_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "architecture": platform.machine(),
        "machines": _machines(),
        "nvidia_table": _nvidia_smi(table) if table else "",
        "nvidia_banner": _nvidia_smi([]) if table else "",
    }


def create(request: Answer) -> Answer:
    """Make a machine's folder, with `count` of the `gpus` that are free; Refused: none was made."""
    folder = _folder(request["label"])
    with _locked():
        held = _free(request) if request["count"] else []
        if len(held) < request["count"]:
            raise Refused("in use")
        if folder.exists() or folder.is_symlink():
            raise Refused("exists")
        _root().mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        gpus = held[: request["count"]]
        facts = dict(request["facts"], gpus=gpus, host=_identity())
        environment = dict(request["environment"], CUDA_VISIBLE_DEVICES=",".join(gpus))
        try:
            _write(folder / ENVIRONMENT_FILE, _entries(environment))
            _write(folder / FACTS_FILE, json.dumps(facts))
        except OSError:
            shutil.rmtree(str(folder), ignore_errors=True)
            raise
    return {"machine": {"id": folder.name, "facts": facts}}


def find(request: Answer) -> Answer:
    """The machine of a label, None when its folder and all its processes are absent."""
    folder = _folder(request["label"])
    there = _is_folder(folder) or bool(_processes(folder))
    answer = {"id": folder.name, "facts": _facts(folder)} if there else None
    return {"identity": _identity(), "machine": answer}


def end(request: Answer) -> Answer:
    """End a machine's processes, then remove its folder; safe to repeat."""
    folder = _folder(request["label"])
    for _ in range(_ROUNDS):
        if not _signal(_processes(folder), signal.SIGTERM):
            break
        for _pause in range(_TERM_PAUSES):
            if not _processes(folder):
                break
            _pause_once()
        _signal(_processes(folder), signal.SIGKILL)
        _pause_once()
    left = _processes(folder)
    if left:
        raise OSError(f"{len(left)} processes of {folder.name} do not end")
    if _is_folder(folder):
        _remove(folder)
    with contextlib.suppress(OSError, Refused), _locked():
        _root().rmdir()  # which the last machine leaves as it was found: absent
    return {"ended": True}


def _root() -> Path:
    return Path.home() / ROOT


def _folder(label: str) -> Path:
    if not _LABEL.fullmatch(label):
        raise Refused("that is no label")
    return _root() / label


def _is_folder(path: Path) -> bool:
    """A real folder: a link is not ours, whatever its name. A disk's trouble is no absence."""
    try:
        return S_ISDIR(os.lstat(str(path)).st_mode)
    except FileNotFoundError:
        return False


def _identity() -> str:
    """This computer and login, so that an absence elsewhere proves nothing."""
    known = platform.node()
    for name in _MACHINE_ID_FILES:
        with contextlib.suppress(OSError):
            known = Path(name).read_text().strip() or known
            break
    return hashlib.sha256(f"{known}:{os.getuid()}".encode()).hexdigest()[:12]


def _machines() -> list[Answer]:
    try:
        names = {path.name for path in _root().iterdir() if _is_folder(path) and _is_ours(path)}
    except FileNotFoundError:
        names = set()
    names |= _marked_labels()
    machines: list[Answer] = [
        {"id": name, "facts": _facts(_root() / name)} for name in sorted(names)
    ]
    # A home that several computers mount shows the machines of the others too.
    here = _identity()
    return [one for one in machines if one["facts"].get("host", here) == here]


def _is_ours(folder: Path) -> bool:
    """Whether it is a machine's, and not what somebody else keeps under that name."""
    if not _LABEL.fullmatch(folder.name):
        return False
    return folder.name.startswith(_PREFIX) or (folder / FACTS_FILE).is_file()


def _facts(folder: Path) -> Answer:
    """The record in a machine's folder; empty when it is gone or spoilt."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _entries(environment: dict[str, str]) -> str:
    return "".join(f"{name}={value}\0" for name, value in environment.items())


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    descriptor = os.open(str(unfinished), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One at a time on this computer and login, whoever asked; without a file, also on NFS."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        for _ in range(_LOCK_PAUSES):
            try:
                lock.bind(f"\0gpulease-{os.getuid()}")
                break
            except OSError:
                _pause_once()
        else:
            raise Refused("locked")
        yield


def _free(request: Answer) -> list[str]:
    """Those of the asked GPUs that no machine holds and on which nobody computes, as of now."""
    machines = [machine for machine in _machines() if machine["id"] not in request["over"]]
    records = [machine["facts"].get("gpus") for machine in machines]
    held = {gpu for record in records if isinstance(record, list) for gpu in record}
    table = _nvidia_smi(["--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"])
    used: dict[str, float] = {}
    for row in table.splitlines():
        name, _, mib = row.partition(",")
        with contextlib.suppress(ValueError):
            used[name.strip()] = float(mib)
    idle_mib = request["idle_mib"]
    free = (gpu for gpu in request["gpus"] if used.get(gpu, idle_mib + 1) <= idle_mib)
    return [gpu for gpu in free if gpu not in held]


def _nvidia_smi(arguments: list[str]) -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_NVIDIA_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _processes(folder: Path) -> set[int]:
    """Living processes of a machine.

    Those whose environment names the label or a path in the folder, the agent that recorded its
    pid and works there, all that descend from these or are in a group that one of them leads.
    Never this process or one that it descends from, nor a shell that merely stands in the folder.
    """
    parents, groups = _process_table()
    spared, pid = set(), os.getpid()
    while pid > 0 and pid not in spared:
        spared.add(pid)
        pid = parents.get(pid, 0)
    agent = _agent_pid(folder)
    ours = {
        pid
        for pid in parents
        if pid not in spared
        and (_is_marked(pid, folder) or (pid == agent and _works_in(pid, folder)))
    }
    while True:
        leaders = {pid for pid in ours if groups.get(pid) == pid}
        more = {
            pid
            for pid, parent in parents.items()
            if pid not in spared and (parent in ours or groups.get(pid) in leaders)
        } - ours
        if not more:
            return ours
        ours |= more


def _process_table() -> tuple[dict[int, int], dict[int, int]]:
    """Parent and group of every living process."""
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = stat.read_text(errors="replace").rpartition(")")[2].split()
            if words[0] not in "ZX":
                pid = int(stat.parent.name)
                parents[pid], groups[pid] = int(words[1]), int(words[2])
    return parents, groups


def _environment(pid: int) -> dict[str, str]:
    try:
        entries = Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name.startswith("GPULEASE_")}


def _is_marked(pid: int, folder: Path) -> bool:
    environment = _environment(pid)
    if environment.get(LABEL_VARIABLE) == folder.name:
        return True
    return any(folder in (Path(value), *Path(value).parents) for value in environment.values())


def _marked_labels() -> set[str]:
    """Labels of machines that have processes; their folders may be gone."""
    root = _root()
    found = set()
    for pid in _process_table()[0]:
        for value in _environment(pid).values():
            if root in Path(value).parents:
                found.add(Path(value).relative_to(root).parts[0])
    return {label for label in found if label.startswith(_PREFIX)}


def _works_in(pid: int, folder: Path) -> bool:
    try:
        place = Path(os.readlink(f"/proc/{pid}/cwd").replace(" (deleted)", ""))  # noqa: PTH115 # 3.8 has no Path.readlink
    except OSError:
        return False
    return folder.resolve() in (place, *place.parents)


def _agent_pid(folder: Path) -> int:
    try:
        words = (folder / PID_FILE).read_text(errors="replace").split()
    except OSError:
        return 0
    return int(words[0]) if words and words[0].isdigit() else 0


def _signal(pids: set[int], number: int) -> bool:
    """Whether there was anybody to send it to."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return bool(pids)


def _pause_once() -> None:
    threading.Event().wait(_PAUSE_S)


def _remove(folder: Path) -> None:
    """Remove a machine's folder; links in it are removed, never followed."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(str(folder))
        return
    # Folders that may not be written, or deeper than Python goes.
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        argv = [*command, "--", str(folder)]
        done = subprocess.run(argv, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise OSError(f"cannot remove {folder}: {done.stderr.decode(errors='replace')}")
