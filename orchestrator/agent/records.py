"""Small files that survive a crash and a full disk: JSON records and the event log."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from pathlib import Path
from typing import Dict, Mapping

from . import protocol
from .clock import Clock

Record = Dict[str, object]

RECORD_LIMIT_BYTES = 16 << 20
_RESERVE_BYTES = 1 << 20
_LAST_EVENTS = ("exited", "ready", "ending")


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for want of space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def read_record(path: Path, limit_bytes: int = RECORD_LIMIT_BYTES) -> Record | None:
    """A JSON object, or None when there is none that can be read."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(limit_bytes).decode())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Replace a JSON file atomically and durably, mode 0600."""
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(protocol.encode(record))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(str(path.parent), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Reserve:
    """Space set aside so that the last records can be written on a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(OSError), path.open("wb") as file:
            file.write(b"\0" * _RESERVE_BYTES)

    def give_up(self) -> None:
        """Free the space; safe to repeat."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def write(self, path: Path, record: Mapping[str, object]) -> None:
        """Write a record, with the reserve's space if there is no other."""
        try:
            write_record(path, record)
        except OSError as error:
            if not is_disk_full(error):
                raise
            self.give_up()
            write_record(path, record)


class Events:
    """`events.jsonl`: appended by the agent and by the program."""

    def __init__(self, path: Path, clock: Clock, reserve: Reserve) -> None:
        self._path = path
        self._clock = clock
        self._reserve = reserve
        self._lock = threading.Lock()

    def add(self, name: str, **fields: object) -> None:
        """Append one event; on a full disk all but a run's last ones are dropped."""
        line = protocol.encode({"at": round(self._clock.now_s(), 3), "event": name, **fields})
        with self._lock:
            try:
                self._append(line)
            except OSError:
                if name in _LAST_EVENTS:
                    self._reserve.give_up()
                    with contextlib.suppress(OSError):
                        self._append(line)

    def _append(self, line: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(str(self._path), flags, 0o600), "r+b", buffering=0) as file:
            size_bytes = file.seek(0, os.SEEK_END)
            # The program may have been killed in the middle of its line, or the disk was full.
            if size_bytes and os.pread(file.fileno(), 1, size_bytes - 1) != b"\n":
                line = b"\n" + line
            file.write(line)
