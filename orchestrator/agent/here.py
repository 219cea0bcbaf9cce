"""What of the driver's files is here already: listed, dropped, and cut ones continued."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import time
from pathlib import Path
from typing import IO, Dict, Iterable, Iterator, List

from . import protocol
from .records import read_record, write_record

_BLOCK_BYTES = 1 << 20
_SIGN_S = 60.0
_SETTLED_S = 2.0  # a file changed again within one tick of its clock looks the same
_LIST_LIMIT_BYTES = 64 << 20

Known = Dict[str, List[object]]


def list_here(work: Path, folders: Iterable[str], out: IO[bytes]) -> None:
    """Write HERE of the protocol for each of `folders`; what was hashed before is remembered."""
    join_tails(work)
    reads = _Reading(work / protocol.HASHES_FILE)
    record = read_record(work / protocol.HASHES_FILE) or {}
    known: Known = {path: row for path, row in record.items() if isinstance(row, list)}
    kept: Known = {}
    for folder in folders:
        for path, status in _walk(work, folder):
            if stat.S_ISLNK(status.st_mode):
                target = os.fsencode(os.readlink(str(work / path)))
                _row(out, "link", hashlib.sha256(target).hexdigest(), 0, path)
                continue
            facts: list[object] = [
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_ino,
            ]
            row = known.get(path)
            if row is not None and row[:4] == facts and len(row) == 5:
                sha256 = str(row[4])
            else:
                sha256 = _sha256(work / path, reads)
            if time.time() - status.st_ctime > _SETTLED_S:
                kept[path] = [*facts, sha256]
            mode = "755" if status.st_mode & 0o111 else "644"
            _row(out, mode, sha256, status.st_size, path)
    out.flush()
    others = {path: row for path, row in known.items() if path.split("/")[0] not in set(folders)}
    if {**others, **kept} != known:
        with contextlib.suppress(OSError):  # two may look at once, and it only saves time
            write_record(work / protocol.HASHES_FILE, {**others, **kept})


def drop(work: Path, asked: IO[bytes]) -> None:
    """Remove the files that a JSON list names, and folders that are empty then."""
    names = json.loads(asked.read(_LIST_LIMIT_BYTES).decode("utf-8", "surrogateescape"))
    for name in names:
        path = work / name
        if not _is_below(work, path):
            continue
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(str(path))
                continue
            path.unlink()
        folder = path.parent
        while folder != work and folder.parent != work:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent


def join_tails(work: Path) -> None:
    """Put what came of a cut file's rest behind what was here; a rest that fits nowhere goes."""
    tails = work / protocol.TAILS_DIR
    for part in sorted(tails.glob("*/**/*")) if tails.is_dir() else []:
        if part.is_symlink() or not part.is_file():
            continue
        offset, path = part.relative_to(tails).parts[0], Path(*part.relative_to(tails).parts[1:])
        whole = work / path
        if not _is_below(work, whole) or whole.is_symlink() or not whole.is_file():
            continue
        if whole.stat().st_size != int(offset):
            continue  # it was joined before, by somebody who died
        with part.open("rb") as source, whole.open("ab") as target:
            shutil.copyfileobj(source, target, _BLOCK_BYTES)
            target.flush()
            os.fsync(target.fileno())
    shutil.rmtree(str(tails), ignore_errors=True)


def _walk(work: Path, folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """(path below `work`, status) of every file and link below a folder; links stay links."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            entries = list(os.scandir(str(work / current)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            path = f"{current}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield path, status


def _row(out: IO[bytes], mode: str, sha256: str, size_bytes: int, path: str) -> None:
    out.write(f"{mode} {sha256} {size_bytes} ".encode() + os.fsencode(path) + b"\0")


class _Reading:
    """Says now and then that files are read: the guard ends a machine on which all is still."""

    def __init__(self, sign: Path) -> None:
        self._sign = sign
        self._said_s = time.monotonic()

    def goes_on(self) -> None:
        if time.monotonic() - self._said_s >= _SIGN_S:
            self._said_s = time.monotonic()
            with contextlib.suppress(OSError):
                self._sign.touch(mode=0o600)


def _sha256(path: Path, reading: _Reading) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
            reading.goes_on()
    return digest.hexdigest()


def _is_below(work: Path, path: Path) -> bool:
    """Whether a path lies in one of the folders that are sent, no folder above it being a link."""
    parts = path.relative_to(work).parts
    if len(parts) < 2 or parts[0] not in protocol.SENT_DIRS or ".." in parts:
        return False
    return not any((work / Path(*parts[:count])).is_symlink() for count in range(1, len(parts)))
