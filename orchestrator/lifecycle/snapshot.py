"""One's own code as it was at submit, copied and hashed; what did not change is shared.

What runs is what was submitted, edited since or not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.errors import SpecError
from orchestrator.remote.bundle import Entry, folder_entries
from orchestrator.remote.code import code_files
from orchestrator.spec.job import Job

CODE = "code"
MANIFEST = "code.json"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Kept:
    """One file of the copy, and what told its original from a changed one."""

    seen: tuple[int, ...]  # size, mtime and ctime in ns, inode
    mode: int
    sha256: str


def keep_code(
    folder: Path, job: Job, *, like: Path | None = None, private: Iterable[Path] = ()
) -> None:
    """Copy a job's own code into the folder of its run, made when missing; durable at the end.

    Args:
        like: the folder of an earlier run. What did not change since shares its file with it.
        private: files and folders of ours that never leave this computer.

    Raises: SpecError when a file cannot be read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if job.code is None:
        return
    known = _manifest(like) if like is not None else {}
    kept: dict[str, _Kept] = {}
    copy = folder / CODE
    shared = like / CODE if like is not None else None
    copy.mkdir(exist_ok=True)
    made = {copy}
    try:
        for file in code_files(job.code.path, private).files:
            source, target = job.code.path / file.path, copy / file.path
            # A link inside the folder travels as the file that it names.
            if file.link and not source.is_file():
                continue
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            earlier = known.get(file.path)
            kept[file.path] = (
                _share(source, target, shared / file.path, earlier)
                if shared is not None and earlier is not None
                else _copy(source, target)
            )
    except OSError as error:
        raise SpecError([f"{job.code.path}: {error.strerror}: {error.filename}"]) from error
    rows = {path: [one.seen, one.mode, one.sha256] for path, one in kept.items()}
    (folder / MANIFEST).write_text(json.dumps(rows))
    os.sync()


def code_entries(folder: Path) -> list[Entry]:
    """Members of a bundle for the copy in a run's folder."""
    manifest = _manifest(folder)
    if not manifest:  # of a version that hashed nothing, or an empty folder
        return folder_entries(protocol.CODE_DIR, folder / CODE)
    copy = folder / CODE
    return [
        Entry(f"{protocol.CODE_DIR}/{path}", copy / path, one.mode, sha256=one.sha256)
        for path, one in manifest.items()
    ]


def _manifest(folder: Path) -> dict[str, _Kept]:
    try:
        rows = json.loads((folder / MANIFEST).read_text())
        return {path: _Kept(tuple(row[0]), row[1], row[2]) for path, row in rows.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # then everything is copied, and read again


def _share(source: Path, target: Path, copy: Path, earlier: _Kept) -> _Kept:
    """The earlier run's copy under a further name, where the original is the same as then."""
    if _seen(source.stat()) != earlier.seen:
        return _copy(source, target)
    try:
        target.hardlink_to(copy)
    except OSError:  # it was removed, or the disk knows no links
        return _copy(source, target)
    return earlier


def _copy(source: Path, target: Path) -> _Kept:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        before = os.fstat(file.fileno())
        target.unlink(missing_ok=True)  # it may share its content with another run
        mode = 0o755 if before.st_mode & 0o111 else 0o644
        with target.open("wb", buffering=0) as out:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                out.write(block)
            os.fchmod(out.fileno(), mode)
        after = os.fstat(file.fileno())
    # What changed meanwhile is not known to be what was copied.
    seen = _seen(after) if _seen(before) == _seen(after) else ()
    return _Kept(seen, mode, digest.hexdigest())


def _seen(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
