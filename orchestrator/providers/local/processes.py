"""The processes of a machine that is a folder of this computer: find them, end them.

A process belongs to the machine when its environment says so (the label, or a GPULEASE_ path
inside the folder: both are inherited), when the agent recorded its pid and it works in the folder,
or when it is in a group that one of those leads. A person's own shell that merely stands in the
folder is none of these.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agent import protocol
from orchestrator.providers.own_machine import LABEL_VARIABLE

if TYPE_CHECKING:
    import psutil

_ROUNDS = 5
_TERM_S = 3.0
_KILL_S = 3.0


def find(label: str, folder: Path) -> list[psutil.Process]:
    """Every living process of the machine; never this one or one that it descends from."""
    import psutil

    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    agent_pid = _agent_pid(folder)
    ours: dict[int, psutil.Process] = {}
    others: list[psutil.Process] = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        if _is_marked(process, label, folder) or (
            process.pid == agent_pid and _works_in(process, folder)
        ):
            ours[process.pid] = process
        else:
            others.append(process)
    groups = {pid for pid in ours if _group(pid) == pid}
    return [*ours.values(), *(other for other in others if _group(other.pid) in groups)]


def end(label: str, folder: Path) -> bool:
    """Ask every process of the machine to end, then kill; true when none is left."""
    import psutil

    for _ in range(_ROUNDS):
        alive = find(label, folder)
        if not alive:
            return True
        for process in alive:
            _signal(process, kill=False)
        _, stubborn = psutil.wait_procs(alive, timeout=_TERM_S)
        for process in stubborn:
            _signal(process, kill=True)
        psutil.wait_procs(stubborn, timeout=_KILL_S)
    return not find(label, folder)


def _is_marked(process: psutil.Process, label: str, folder: Path) -> bool:
    import psutil

    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return False
    if environment.get(LABEL_VARIABLE) == label:
        return True
    return any(
        name.startswith("GPULEASE_") and Path(value).is_relative_to(folder)
        for name, value in environment.items()
    )


def _works_in(process: psutil.Process, folder: Path) -> bool:
    import psutil

    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def _agent_pid(folder: Path) -> int:
    """The pid that the agent recorded, 0 when there is none."""
    try:
        words = (folder / protocol.PID_FILE).read_text(errors="replace").split()
    except OSError:
        return 0
    return int(words[0]) if words and words[0].isdecimal() else 0


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _signal(process: psutil.Process, *, kill: bool) -> None:
    """psutil compares the start time first, so that a reused pid is not hit."""
    import psutil

    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        return
