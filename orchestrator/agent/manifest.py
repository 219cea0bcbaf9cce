"""The manifest: every file that the run gives back, with size and hash."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Iterator

from . import protocol
from .checkpoints import complete_checkpoints
from .records import Record

_BLOCK_BYTES = 1 << 20
_CHECKPOINTS_KEPT = 2
# Of the list itself: the bucket's index says more of each file, and must not be too long either.
_LIST_BYTES = protocol.LIST_LIMIT_BYTES // 2
_BYTES_OF_A_FILE = 160  # beside its path
# An adapter is what was trained of a model: it comes home as one.
_MODEL_PREFIXES = tuple(f"{protocol.OUTPUT_DIR}/{name}/" for name in ("model", "adapter"))


def list_files(
    work: Path, limit: int = protocol.FILES_LIMIT
) -> tuple[list[Record], list[Record], list[str]]:
    """The manifest's `files` and `left`, and a note for each thing that is no file to collect.

    Links are never followed, sockets, pipes and devices never opened.
    """
    files: list[Record] = []
    notes: list[str] = []
    order = {kind: place for place, kind in enumerate(protocol.KINDS)}
    # Stable: the newest checkpoint first.
    paths, left = _first(sorted(_paths(work, notes), key=lambda path: order[_kind(path)]), limit)
    for path in paths:
        try:
            size_bytes, sha256 = _hash(work / path)
        except OSError as error:
            notes.append(f"{path!r} cannot be read and is not collected: {error.strerror}")
            continue
        files.append(
            {"path": path, "size_bytes": size_bytes, "sha256": sha256, "kind": _kind(path)}
        )
    return files, left, notes


def _first(paths: list[str], limit: int) -> tuple[list[str], list[Record]]:
    """As many paths as one list may name, and by kind what stands behind them."""
    kept = size_bytes = 0
    for path in paths:
        size_bytes += len(json.dumps(path)) + _BYTES_OF_A_FILE
        if kept == limit or size_bytes > _LIST_BYTES:
            break
        kept += 1
    counts: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for path in paths[kept:]:
        kind = _kind(path)
        counts[kind] = counts.get(kind, 0) + 1
        firsts.setdefault(kind, path)
    left: list[Record] = [
        {"kind": kind, "files": count, "first": firsts[kind]} for kind, count in counts.items()
    ]
    return paths[:kept], left


def _paths(work: Path, notes: list[str]) -> Iterator[str]:
    for name in (protocol.EXIT_FILE, protocol.METRICS_FILE, protocol.LOG_FILE):
        if (work / name).exists():
            yield from _regular(work, name, notes)
    yield from _regular(work, protocol.OUTPUT_DIR, notes)
    for checkpoint in complete_checkpoints(work)[: -_CHECKPOINTS_KEPT - 1 : -1]:
        yield from _regular(work, checkpoint.path, notes)


def _regular(work: Path, path: str, notes: list[str]) -> Iterator[str]:
    """The regular files at or below `path`, sorted."""
    try:
        mode = (work / path).lstat().st_mode
        folder = work / path
        names = sorted(entry.name for entry in folder.iterdir()) if stat.S_ISDIR(mode) else []
    except OSError as error:
        notes.append(f"{path!r} cannot be read and is not collected: {error.strerror}")
        return
    if not path.isprintable():
        notes.append(f"{path!r} has a name that is no text and is not collected")
    elif path.count("/") > protocol.DEEPEST:
        notes.append(f"{path[:80]!r}… is too deep and is not collected")
    elif stat.S_ISDIR(mode):
        for name in names:
            yield from _regular(work, f"{path}/{name}", notes)
    elif stat.S_ISREG(mode):
        yield path
    else:
        what = "a link" if stat.S_ISLNK(mode) else "no file"
        notes.append(f"{path!r} is {what} and is not collected")


def _hash(path: Path) -> tuple[int, str]:
    descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    digest = hashlib.sha256()
    size_bytes = 0
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
            size_bytes += len(block)
    return size_bytes, digest.hexdigest()


def _kind(path: str) -> str:
    names = {
        protocol.EXIT_FILE: "exit",
        protocol.METRICS_FILE: "metrics",
        protocol.LOG_FILE: "logs",
    }
    if path in names:
        return names[path]
    if path.startswith(_MODEL_PREFIXES):
        return "model"
    return "checkpoint" if path.startswith(protocol.CHECKPOINTS_DIR + "/") else "rest"
