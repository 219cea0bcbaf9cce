"""One deterministic tar stream of files, links and bytes.

The same entries give the same bytes, whatever their order and times. GNU format: GNU tar, bsdtar
and busybox read its long names, and sizes above 8 GiB.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError

# 2000-01-01: zip files, and so wheels built on the machine, know no time before 1980.
_MTIME_S = 946_684_800
_BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: the bytes or the local file that `path` gets, or the link that it becomes."""

    path: str
    content: bytes | Path = b""
    mode: int = 0o644
    link: str = ""
    offset: int = 0  # of a local file: what is sent of it begins here
    sha256: str = ""  # of all of its content, where that is known already


def bytes_entry(path: str, data: bytes, mode: int = 0o600) -> Entry:
    """A member whose content is in memory."""
    return Entry(path, data, mode)


def file_entry(path: str, source: Path) -> Entry:
    """A member with the content of a local file; only its x-bit is kept of its mode."""
    try:
        executable = source.stat().st_mode & 0o111
    except OSError as error:
        raise SpecError([f"{source}: cannot be read ({error.strerror})"]) from error
    return Entry(path, source, 0o755 if executable else 0o644)


def folder_entries(path: str, folder: Path) -> list[Entry]:
    """Members for every regular file below a local folder (a model, a checkpoint)."""
    return [
        file_entry(f"{path}/{source.relative_to(folder).as_posix()}", source)
        for source in sorted(folder.rglob("*"))
        if source.is_file()
    ]


def bundle(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The tar stream of `entries`, sorted by path, in pieces of about 1 MiB.

    Raises: SpecError when two entries are in each other's way, a path leaves the folder, or a
    file changed while it was read.
    """
    batch = bytearray()
    size_bytes = 0
    for piece in _pieces(_in_order(entries)):
        batch += piece
        size_bytes += len(piece)
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    batch += bytes(2 * tarfile.BLOCKSIZE)
    size_bytes += 2 * tarfile.BLOCKSIZE
    yield bytes(batch) + bytes(-size_bytes % tarfile.RECORDSIZE)


def link_stays_inside(path: str, target: str) -> bool:
    """Whether a link at `path` points to something in the same tree.

    >>> link_stays_inside("a/b", "../c")
    True
    >>> link_stays_inside("a/b", "../../c")
    False
    """
    if target.startswith("/"):
        return False
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return end != ".." and not end.startswith("../")


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    ordered = sorted(entries, key=lambda entry: os.fsencode(entry.path))
    problems = []
    files: set[str] = set()
    for entry in ordered:
        parts = entry.path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in entry.path:
            problems.append(f"{entry.path!r}: is no plain relative path")
        parents = {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
        if parents & files:
            problems.append(f"{entry.path}: stands twice, or below a file of the same name")
        if entry.link and not link_stays_inside(entry.path, entry.link):
            problems.append(f"{entry.path}: a link to {entry.link}, outside of what is sent")
        files.add(entry.path)
    if problems:
        raise SpecError(problems)
    return ordered


def _pieces(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        if entry.link:
            yield _header(entry, 0)
        elif isinstance(entry.content, bytes):
            yield _header(entry, len(entry.content))
            yield _padded(entry.content)
        else:
            yield from _file_pieces(entry, entry.content)


def _file_pieces(entry: Entry, source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise SpecError([f"{source}: is no regular file"])
            size_bytes = max(0, before.st_size - entry.offset)
            file.seek(entry.offset)
            yield _header(entry, size_bytes)
            left_bytes = size_bytes
            while left_bytes:
                data = file.read(min(left_bytes, _BATCH_BYTES))
                if not data:
                    break
                left_bytes -= len(data)
                yield data
            after = os.fstat(file.fileno())
    except OSError as error:
        raise SpecError([f"{source}: cannot be read ({error.strerror})"]) from error
    if left_bytes or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise SpecError(
            [f"{source}: changed while it was sent"],
            hint="leave it out by .gpuleaseignore, or wait until nothing writes to it",
        )
    yield bytes(-size_bytes % tarfile.BLOCKSIZE)


def _header(entry: Entry, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.size = size_bytes
    info.mtime = _MTIME_S
    info.mode = entry.mode & 0o777
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)
