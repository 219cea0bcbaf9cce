"""The run's log at home: raw bytes as the machine wrote them, and how to show them safely."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.artifacts.disk import (
    ROOM_HINT,
    disk_errors,
    folder_below,
    open_regular,
    room_bytes,
)
from orchestrator.errors import HomeDiskFull
from orchestrator.remote.shell import Shell

LOG_FILE = "log.txt"
LINE_LIMIT_BYTES = 16 * 1024
_READ_BYTES = 1024 * 1024
# The agent cuts at a GiB and says so in a line; a machine that sends more fills no disk at home.
LIMIT_BYTES = (1 << 30) + (1 << 16)

# ECMA-48: control sequences, then strings (window titles, device control), then short escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_RETURNS = re.compile(r"\r+\n|\r")
# Other control characters, and those that reorder or hide text (Unicode TR36).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


class LogFile:
    """`log.txt` of a run at home. Its size says how much of the machine's log is here.

    `base` is the size that it had when this machine's log began: 0 for a run's first machine.
    """

    def __init__(self, folder: Path, base: int = 0) -> None:
        self._folder = folder
        self._base = base

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return self._folder / LOG_FILE

    def size_bytes(self) -> int:
        """Bytes at home."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def fetch_some(self, shell: Shell, source: str = LOG_FILE, *, limit: int = _READ_BYTES) -> int:
        """Append the next bytes of the machine's log, at most `limit`, and give their count.

        Raises: Unreachable, HomeDiskFull (what was written stays; call again).
        """
        here_bytes = max(0, self.size_bytes() - self._base)
        limit = min(limit, LIMIT_BYTES - here_bytes)
        if limit <= 0:
            return 0
        data = shell.read(source, here_bytes, limit)[:limit]
        if data:
            self.append(data)
        return len(data)

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises: HomeDiskFull, also before the store's own room is used."""
        with disk_errors(LOG_FILE), folder_below(self._folder, "") as folder:
            if len(data) > room_bytes(folder):
                raise HomeDiskFull("This computer's disk is full; the log waits.", hint=ROOM_HINT)
            descriptor = open_regular(LOG_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, folder)
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]

    def sync(self) -> None:
        """Make what came durable: soon the machine's own copy is gone."""
        with disk_errors(LOG_FILE), folder_below(self._folder, "") as folder:
            descriptor = open_regular(LOG_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, folder)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.fsync(folder)

    def lines(self, offset: int = 0, *, whole: bool = False) -> Iterator[tuple[int, str]]:
        """(offset behind it, safe text) of every line from `offset` on.

        A line longer than LINE_LIMIT_BYTES comes in pieces. The last line without its newline is
        left for later, unless `whole` says that the log is complete.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(offset)
            while line := file.readline(LINE_LIMIT_BYTES):
                if not line.endswith(b"\n") and len(line) < LINE_LIMIT_BYTES and not whole:
                    return
                offset += len(line)
                yield offset, safe_text(line.rstrip(b"\n")).rstrip("\n")


def safe_text(data: bytes) -> str:
    r"""Untrusted bytes as text for a terminal: no escapes, no control characters but \t and \n.

    A lone carriage return (a progress bar) becomes a new line.

    >>> safe_text(b"\x1b[31mred\x1b[0m \x1b]0;title\x07ok\rnext")
    'red ok\nnext'
    """
    return without_escapes(data.decode("utf-8", "replace"))


def without_escapes(text: str) -> str:
    """The same for what is text already."""
    if text.isprintable():  # nearly all text: there is nothing in it to look for
        return text
    return _INVISIBLE.sub("", _RETURNS.sub("\n", _ESCAPES.sub("", text)))
