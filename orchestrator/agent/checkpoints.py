"""Which checkpoints of the program are complete."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from . import protocol
from .records import Events, Record, read_record


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    step: int
    path: str  # relative to the work folder
    size_bytes: int


class CheckpointWatch:
    """Tells of each complete checkpoint once."""

    def __init__(self, work: Path, events: Events) -> None:
        self._work = work
        self._events = events
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def look(self) -> None:
        """Add an event for each checkpoint that is new."""
        with self._lock:
            for found in complete_checkpoints(self._work):
                if found.path not in self._told:
                    self._told.add(found.path)
                    fields: Record = {"step": found.step, "path": found.path}
                    self._events.add("checkpoint", size_bytes=found.size_bytes, **fields)


def complete_checkpoints(work: Path) -> list[Checkpoint]:
    """Oldest step first."""
    found = []
    try:
        entries = sorted((work / protocol.CHECKPOINTS_DIR).iterdir())
    except OSError:
        return []
    for folder in entries:
        if folder.is_symlink() or not folder.is_dir():
            continue
        record = read_record(folder / protocol.CHECKPOINT_COMPLETE)
        step = record.get("step") if record else None
        if record and isinstance(step, int):
            path = f"{protocol.CHECKPOINTS_DIR}/{folder.name}"
            found.append(Checkpoint(step, path, _size_bytes(record.get("files"))))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def _size_bytes(files: object) -> int:
    total_bytes = 0
    for file in files if isinstance(files, list) else []:
        size = file.get("size_bytes") if isinstance(file, dict) else None
        total_bytes += size if isinstance(size, int) and size > 0 else 0
    return total_bytes
