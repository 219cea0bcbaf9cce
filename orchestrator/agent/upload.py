"""One PUT of some bytes of some files to a signed URL. The URL is a secret: no text holds it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Sequence

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_ANSWER_BYTES = 16 << 10
_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,60})</Code>")
_AGAIN = (408, 425, 429)


class UploadFailed(Exception):
    """It is not there. `refused`: the store said so itself, and another try needs another URL."""

    def __init__(self, problem: str, *, refused: bool = False) -> None:
        super().__init__(problem)
        self.refused = refused


@dataclass(frozen=True)
class Piece:
    """Some bytes of one file."""

    path: str  # relative to the work folder
    offset: int
    size_bytes: int


def put(
    url: str,
    work: Path,
    pieces: Sequence[Piece],
    *,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Write the pieces, one behind the other, as one object.

    The store compares what came with an MD5 of what was read before, and refuses a difference.

    Raises: UploadFailed; OSError when a file cannot be read or became shorter.
    """
    size_bytes = sum(piece.size_bytes for piece in pieces)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    if digest := _md5(work, pieces):
        headers["Content-MD5"] = digest
    body: bytes | Iterator[bytes] = _counted(work, pieces, on_bytes) if size_bytes else b""
    reading = _Reading(body)
    try:
        # urllib follows no redirect of a PUT, obeys the machine's proxies, verifies certificates.
        request = urllib.request.Request(url, data=reading.data, headers=headers, method="PUT")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            answer.read(_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if reading.error is not None:
            raise reading.error from None
        raise UploadFailed(f"no answer from the bucket: {_kind(error)}") from None


def sha256_of(work: Path, path: str) -> tuple[int, str]:
    """Size and hash of a file. Raises: OSError."""
    digest = hashlib.sha256()
    size_bytes = 0
    for block in _blocks(work, Piece(path, 0, 1 << 62), whole=False):
        digest.update(block)
        size_bytes += len(block)
    return size_bytes, digest.hexdigest()


class _Reading:
    """Remembers that it was the reading which failed, and not the sending."""

    def __init__(self, body: bytes | Iterator[bytes]) -> None:
        self.error: OSError | None = None
        self.data: bytes | Iterator[bytes] = body if isinstance(body, bytes) else self._watch(body)

    def _watch(self, body: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            try:
                block = next(body)
            except StopIteration:
                return
            except OSError as error:
                self.error = error
                raise
            yield block


def _counted(
    work: Path, pieces: Sequence[Piece], on_bytes: Callable[[int], None]
) -> Iterator[bytes]:
    for piece in pieces:
        for block in _blocks(work, piece):
            yield block
            on_bytes(len(block))


def _blocks(work: Path, piece: Piece, *, whole: bool = True) -> Iterator[bytes]:
    """The bytes of a piece; raises OSError when there are fewer, unless it need not be whole."""
    descriptor = os.open(str(work / piece.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(piece.offset)
        left_bytes = piece.size_bytes
        while left_bytes:
            block = file.read(min(_BLOCK_BYTES, left_bytes))
            if not block:
                break
            left_bytes -= len(block)
            yield block
    if left_bytes and whole:
        raise OSError(f"{piece.path!r} became shorter")


def _md5(work: Path, pieces: Sequence[Piece]) -> str:
    try:
        digest = hashlib.md5()
    except ValueError:  # a machine whose rules forbid it
        return ""
    for piece in pieces:
        for block in _blocks(work, piece):
            digest.update(block)
    return base64.b64encode(digest.digest()).decode()


def _refusal(error: urllib.error.HTTPError) -> UploadFailed:
    said = b""
    try:
        with error:
            said = error.read(_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):
        pass
    found = _CODE.search(said)
    code = found.group(1).decode() if found else ""
    again = error.code >= 500 or error.code in _AGAIN
    return UploadFailed(f"the bucket answers {error.code} {code}".strip(), refused=not again)


def _kind(error: Exception) -> str:
    """The kind of an error, and what the system says of it: its own text may hold the URL."""
    reason = getattr(error, "reason", error)
    words = getattr(reason, "strerror", None)
    return f"{type(reason).__name__} {words}" if isinstance(words, str) else type(reason).__name__
