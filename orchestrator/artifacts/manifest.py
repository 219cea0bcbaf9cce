"""What a machine says that it gives back, believed only as far as it can be true. Pure.

A file that no machine has any business to send is refused by itself, so that one odd name does
not cost the rest; a document that is none at all is refused as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.agent import protocol
from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import path_problem, shown

DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024
FILES_LIMIT = 100_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HomePath = Callable[[str], str]
_OUTPUT = f"{protocol.OUTPUT_DIR}/"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file: where it lies on the machine's side, and where it goes below a folder at home."""

    path: str
    home_path: str
    size_bytes: int
    sha256: str
    kind: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files in the order of their pull, and one sentence per refused one."""

    files: tuple[ManifestFile, ...]
    refused: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class CheckpointManifest:
    """A complete checkpoint of the machine; `document` is its `complete.json`."""

    step: int
    files: tuple[ManifestFile, ...]
    document: bytes


def parse_manifest(document: bytes, *, limit_bytes: int) -> Manifest:
    """The MANIFEST of agent/protocol.py.

    `output/model/x` goes to `model/x` at home, all else keeps its path; where a top name of
    `output/` is also taken outside of it (`output/metrics.json`), `output/` stays in front.
    Files beyond `limit_bytes` in total are refused, in the order of pull.

    Raises: HostileArtifact when the document is no manifest.
    """
    sieve = _Sieve(limit_bytes)
    records = _records(document)
    taken = {
        record["path"].split("/")[0]
        for record in records
        if isinstance(record, dict)
        and isinstance(record.get("path"), str)
        and not record["path"].startswith(_OUTPUT)
    }
    for record in sorted(records, key=_rank):
        sieve.add(record, lambda path: _home_path(path, taken))
    return Manifest(tuple(sieve.files), tuple(sieve.refused))


def parse_checkpoint(document: bytes, path: str, *, limit_bytes: int) -> CheckpointManifest:
    """The `complete.json` of the checkpoint folder `path` on the machine.

    Raises: HostileArtifact also for a single refused file: half a checkpoint is none.
    """
    problem = path_problem(path)
    if problem or path.split("/")[:-1] != [protocol.CHECKPOINTS_DIR]:
        raise HostileArtifact(f"A checkpoint at {shown(path)} is refused.")
    record = _object(document)
    step = record.get("step")
    if type(step) is not int or not 0 <= step < 10**12:
        raise HostileArtifact(f"The checkpoint {shown(path)} has no step that can be.")
    sieve = _Sieve(limit_bytes)
    for each in _records(document):
        if isinstance(each, dict) and isinstance(each.get("path"), str):
            name = each["path"]
            if name == protocol.CHECKPOINT_COMPLETE:
                continue
            each = {**each, "path": f"{path}/{name}", "kind": "checkpoint"}
        sieve.add(each, lambda whole: whole.removeprefix(f"{path}/"))
    if sieve.refused:
        raise HostileArtifact(f"The checkpoint {shown(path)} is refused: {sieve.refused[0]}")
    return CheckpointManifest(step, tuple(sieve.files), document)


@dataclass(slots=True)
class _Sieve:
    """Keeps the files that can be, and says why the others cannot."""

    limit_bytes: int
    files: list[ManifestFile] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _total_bytes: int = 0
    _paths: set[str] = field(default_factory=set)
    _homes: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)

    def add(self, record: object, home_path: _HomePath) -> None:
        """Keep or refuse one record."""
        if not isinstance(record, dict) or not isinstance(record.get("path"), str):
            self.refused.append("a file without a path")
            return
        path = record["path"]
        problem = path_problem(path) or self._value_problem(record)
        home = "" if problem else home_path(path)
        problem = problem or self._place_problem(path, home)
        if problem:
            self.refused.append(f"{shown(path)} is refused: it {problem}")
            return
        kind = record.get("kind")
        self.files.append(
            ManifestFile(
                path,
                home,
                record["size_bytes"],
                record["sha256"],
                kind if isinstance(kind, str) and kind in protocol.KINDS else protocol.KINDS[-1],
            )
        )
        self._total_bytes += record["size_bytes"]
        self._paths.add(path)
        self._homes.add(home)
        self._folders.update(_parents(home))

    def _value_problem(self, record: dict[str, object]) -> str | None:
        size_bytes, sha256 = record.get("size_bytes"), record.get("sha256")
        if type(size_bytes) is not int or size_bytes < 0:
            return "has no size that can be"
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            return "has no sha256"
        if self._total_bytes + size_bytes > self.limit_bytes:
            return f"is too large: {size_bytes} bytes"
        return None

    def _place_problem(self, path: str, home: str) -> str | None:
        if path in self._paths:
            return "stands twice"
        if home in self._homes or home in self._folders or self._homes.intersection(_parents(home)):
            return "is in another file's way"
        return None


def _home_path(path: str, taken: Iterable[str]) -> str:
    inside = path.removeprefix(_OUTPUT)
    return path if inside.split("/")[0] in taken else inside


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _rank(record: object) -> int:
    kind = record.get("kind") if isinstance(record, dict) else None
    known = isinstance(kind, str) and kind in protocol.KINDS
    return protocol.KINDS.index(str(kind)) if known else len(protocol.KINDS)


def _object(document: bytes) -> dict[str, object]:
    if len(document) > DOCUMENT_LIMIT_BYTES:
        raise HostileArtifact("The machine's list of files is absurdly long.")
    try:
        record = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise HostileArtifact("The machine's list of files is no JSON.") from error
    if not isinstance(record, dict):
        raise HostileArtifact("The machine's list of files is no JSON object.")
    return record


def _records(document: bytes) -> list[object]:
    files = _object(document).get("files")
    if not isinstance(files, list):
        raise HostileArtifact("The machine's list of files has no files.")
    if len(files) > FILES_LIMIT:
        raise HostileArtifact(f"The machine lists {len(files)} files; {FILES_LIMIT} is the limit.")
    return files
