"""`log.txt`: all that set-up and program print, up to a limit."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

from .records import is_disk_full

_TAIL_BYTES = 16 << 10
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # window titles, clipboards, links
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


class Log:
    """Writes what comes, in pieces of any size, and keeps the last of it in memory."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(str(path), flags, 0o600), "ab", buffering=0)
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._tail = b""
        self.disk_was_full = False
        self.is_cut = False

    def write(self, data: bytes) -> None:
        """Append `data`; beyond the limit, or on a full disk, it is dropped."""
        with self._lock:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            if self._file.closed or self.is_cut:
                return
            kept = data[: self._left_bytes]
            self._left_bytes -= len(kept)
            if len(kept) < len(data):
                self.is_cut = True
                kept += b"\n[gpulease: the log has %d bytes; the rest is dropped]\n" % (
                    self._limit_bytes
                )
            self._append(kept)

    def note(self, text: str) -> None:
        """Append a line of the agent's own."""
        self.write(f"[gpulease: {text}]\n".encode())

    def tail(self) -> str:
        """The last of what was written, control characters removed."""
        with self._lock:
            return _CONTROL.sub("", self._tail.decode(errors="replace"))

    def close(self) -> None:
        """Drop whatever still comes."""
        with self._lock:
            self._file.close()

    def _append(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self.disk_was_full = self.disk_was_full or is_disk_full(error)


def last_words(text: str, *, lines: int = 1, limit: int = 600) -> str:
    """The last lines with something in them, as one paragraph.

    >>> last_words("Traceback\\n  File x\\nValueError: no\\n\\n")
    'ValueError: no'
    """
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(said[-lines:])[-limit:]
