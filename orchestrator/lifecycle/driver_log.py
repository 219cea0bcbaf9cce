"""The driver's log: a few files of a limited size, readable by nobody else.

Two drivers may write it at once while one takes over from the other. Whatever else the process
says (a crash of the interpreter, a library's warning) goes to the same file.
"""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import BinaryIO

LOG_FILE = "driver.log"
_LONGEST_BYTES = 4 << 20
_KEPT = 3


def open_log(folder: Path) -> BinaryIO:
    """The log, to be appended to by a driver that is about to start."""
    return os.fdopen(_open(folder / LOG_FILE), "ab")


def keep_log(folder: Path) -> None:
    """Send this process's log to the home's driver log."""
    handler = DriverLog(folder / LOG_FILE)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class DriverLog(RotatingFileHandler):
    """Begins a new file where this one is full, or where another driver has begun one."""

    def __init__(
        self, path: Path, *, longest_bytes: int = _LONGEST_BYTES, kept: int = _KEPT
    ) -> None:
        super().__init__(path, maxBytes=longest_bytes, backupCount=kept, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        stream = os.fdopen(_open(Path(self.baseFilename)), "a", encoding="utf-8")
        assert isinstance(stream, TextIOWrapper)
        return stream

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the base's name
        if self.stream is not None and not _is_at(self.stream.fileno(), self.baseFilename):
            follows = _is_same(self.stream.fileno(), 2)
            self.stream.close()
            self.stream = self._open()
            self._point_to_it(follows)
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 - the base's name
        follows = self.stream is not None and _is_same(self.stream.fileno(), 2)
        super().doRollover()
        self._point_to_it(follows)

    def _point_to_it(self, follows: bool) -> None:
        """Let stdout and stderr follow, where they were this log."""
        if follows and self.stream is not None:
            sys.stderr.flush()
            for descriptor in (1, 2):
                os.dup2(self.stream.fileno(), descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _is_same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), Path(path).stat())
    except OSError:
        return False
