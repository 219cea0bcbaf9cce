"""Serves parts of the work folder's files to the driver, over stdin and stdout."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import IO

from . import protocol
from .records import Record

_REQUEST_LIMIT_BYTES = 64 << 10
_BLOCK_BYTES = 1 << 20
_TOUCH_EVERY_BLOCKS = 16


class Refused(Exception):
    """This request gets an error instead of bytes."""


def serve(work: Path, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more.

    Ends in the middle of an answer when the file has become shorter: the other side sees too few
    bytes, never wrong ones.
    """
    folder = os.open(str(work), os.O_RDONLY | os.O_DIRECTORY)
    while True:
        line = requests.readline(_REQUEST_LIMIT_BYTES)
        if not line:
            return
        try:
            descriptor, offset, size_bytes = _open(folder, line)
        except Refused as error:
            answers.write(protocol.encode({"error": str(error)}))
            answers.flush()
            continue
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            answers.write(protocol.encode({"size_bytes": size_bytes}))
            answers.flush()
            file.seek(offset)
            if not _copy(work, file, answers, size_bytes):
                return


def _open(folder: int, line: bytes) -> tuple[int, int, int]:
    """A descriptor, the first byte and the number of bytes that the request means."""
    try:
        request = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Refused("not a JSON object")
    path = request.get("path")
    if not isinstance(path, str):
        raise Refused("path: not a text")
    offset = _whole(request, "offset", 0)
    descriptor = _open_below(folder, path)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Refused(f"{path!r} is no file")
    end = min(_whole(request, "end", status.st_size), status.st_size)
    return descriptor, offset, max(0, end - offset)


def _whole(request: Record, name: str, default: int) -> int:
    value = request.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise Refused(f"{name}: not a whole number from 0")
    return value


def _open_below(folder: int, path: str) -> int:
    """Open a file below the work folder; no part of its path may be a link."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise Refused(f"{path!r} is not a path below the work folder")
    current = os.dup(folder)
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        flags = os.O_NONBLOCK if last else os.O_DIRECTORY
        try:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=current)
        except (OSError, UnicodeEncodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "not a path"
            raise Refused(f"{path!r}: {words}") from error
        finally:
            os.close(current)
        current = inner
    return current


def _copy(work: Path, file: IO[bytes], answers: IO[bytes], size_bytes: int) -> bool:
    """Copy exactly `size_bytes`; false when the file has no more of them."""
    left_bytes = size_bytes
    blocks = 0
    while left_bytes:
        if blocks % _TOUCH_EVERY_BLOCKS == 0:
            with contextlib.suppress(OSError):
                (work / protocol.SENT_FILE).touch(mode=0o600)
        blocks += 1
        block = file.read(min(_BLOCK_BYTES, left_bytes))
        if not block:
            return False
        answers.write(block)
        left_bytes -= len(block)
    answers.flush()
    return True
