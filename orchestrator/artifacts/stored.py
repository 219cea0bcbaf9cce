"""What a machine's index in a bucket says, believed only as far as it can be true. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.agent import protocol
from orchestrator.artifacts.document import to_object
from orchestrator.artifacts.manifest import DOCUMENT_LIMIT_BYTES, FILES_LIMIT
from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import path_problem, shown

_KEY = re.compile(re.escape(protocol.SLOT_PREFIX) + "[0-9]{5}")
_PARTS_LIMIT = 100_000
_BYTES_LIMIT = 1 << 62
_MOST_NAMED = 50
_LATEST_S = 1e11


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of one object; `key` is relative to the machine's folder in the bucket."""

    key: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Index:
    """Where the bytes of each file of a machine's work folder are."""

    label: str
    at_s: float  # when the machine wrote it, by its own clock; 0 where it does not say
    complete: bool
    files: Mapping[str, tuple[Part, ...]]
    changed: tuple[str, ...]  # a sentence for each file that the machine could not send as listed
    document: bytes  # holds the manifest's own fields, for parse_manifest

    def size_bytes(self, path: str) -> int:
        """Bytes of one file, 0 where there is none."""
        return sum(part.size_bytes for part in self.files.get(path, ()))

    def parts(self, path: str, start: int, end: int) -> Iterator[Part]:
        """What to read for bytes `start` to `end` of a file, in order."""
        at = 0
        for part in self.files.get(path, ()):
            first, last = max(start, at), min(end, at + part.size_bytes)
            if first < last:
                yield Part(part.key, part.offset + first - at, last - first)
            at += part.size_bytes

    def needed_bytes(self) -> dict[str, int]:
        """Key → how long its object must be at least."""
        needed: dict[str, int] = {}
        for parts in self.files.values():
            for part in parts:
                needed[part.key] = max(needed.get(part.key, 0), part.offset + part.size_bytes)
        return needed

    def newest_checkpoint(self) -> str:
        """Path of the complete checkpoint with the highest number; "" when there is none."""
        found = re.compile(
            rf"{protocol.CHECKPOINTS_DIR}/step-([0-9]{{1,12}})/{protocol.CHECKPOINT_COMPLETE}"
        )
        steps = [int(match[1]) for path in self.files if (match := found.fullmatch(path))]
        return f"{protocol.CHECKPOINTS_DIR}/step-{max(steps)}" if steps else ""


def parse_index(document: bytes) -> Index:
    """The INDEX of agent/protocol.py. Raises: HostileArtifact, for a single odd file too."""
    record = to_object(document, "The index in the bucket", limit_bytes=DOCUMENT_LIMIT_BYTES)
    if not protocol.speaks(record.get("protocol")):
        raise HostileArtifact("The index in the bucket is none of this version's.")
    files: dict[str, tuple[Part, ...]] = {}
    count = 0
    for each in (*_records(record, "others"), *_records(record, "files")):
        path, parts = _file(each)
        files[path] = parts
        count += len(parts)
        if len(files) > 2 * FILES_LIMIT or count > _PARTS_LIMIT + FILES_LIMIT:
            raise HostileArtifact("The index in the bucket lists absurdly many files.")
    label = record.get("label")
    return Index(
        label=label if isinstance(label, str) else "",
        at_s=_time(record.get("at")),
        complete=record.get("complete") is True,
        files=files,
        changed=_changed(record),
        document=document,
    )


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < _LATEST_S else 0.0


def _changed(record: Mapping[str, object]) -> tuple[str, ...]:
    paths = record.get("changed")
    found = [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []
    named = [f"{shown(path)} changed after it was listed" for path in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        named.append(f"and {len(found) - _MOST_NAMED} more files")
    return tuple(named)


def _records(record: Mapping[str, object], name: str) -> list[object]:
    found = record.get(name)
    if not isinstance(found, list):
        raise HostileArtifact(f"The index in the bucket has no {name}.")
    return found


def _file(record: object) -> tuple[str, tuple[Part, ...]]:
    path = record.get("path") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(path, str):
        raise HostileArtifact("The index in the bucket has a file without a path.")
    if problem := path_problem(path):
        raise HostileArtifact(f"{shown(path)} in the bucket's index is refused: it {problem}.")
    parts = record.get("parts")
    found = tuple(map(_part, parts)) if isinstance(parts, list) else ()
    if sum(part.size_bytes for part in found) != record.get("size_bytes"):
        raise HostileArtifact(f"{shown(path)} in the bucket's index is not the sum of its parts.")
    return path, found


def _part(record: object) -> Part:
    if isinstance(record, dict):
        key, offset, size_bytes = (record.get(name) for name in ("key", "offset", "size_bytes"))
        if (
            isinstance(key, str)
            and _KEY.fullmatch(key)
            and type(offset) is int
            and type(size_bytes) is int
            and 0 <= offset < _BYTES_LIMIT
            and 0 <= size_bytes < _BYTES_LIMIT
        ):
            return Part(key, offset, size_bytes)
    raise HostileArtifact("The index in the bucket has a part that cannot be.")
