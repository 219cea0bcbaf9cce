"""What a machine says that it gives back, believed only as far as it can be true. Pure.

A file that no machine has any business to send is refused by itself, so that one odd name does
not cost the rest; a document that is none at all is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.agent import protocol
from orchestrator.artifacts.document import to_object
from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import path_problem, shown

DOCUMENT_LIMIT_BYTES = protocol.LIST_LIMIT_BYTES
FILES_LIMIT = protocol.FILES_LIMIT
_FOLDERS_LIMIT = FILES_LIMIT  # each is remembered: see `_Sieve`
_MOST_NAMED = 50
_MOST_LEFT = 10**12
_LIST = "The machine's list of files"
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
    """Files in the order of their pull, and one sentence per refused one.

    `left` are the kinds of which there were too many files, each with a sentence.
    """

    files: tuple[ManifestFile, ...]
    refused: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()

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
    Files beyond `limit_bytes` in total are refused, in the order of pull; those behind the
    FILES_LIMIT first ones are left.

    Raises: HostileArtifact when the document is no manifest.
    """
    sieve = _Sieve(limit_bytes)
    listed = to_object(document, _LIST, limit_bytes=DOCUMENT_LIMIT_BYTES)
    records = _records(listed)
    taken = {
        record["path"].split("/")[0]
        for record in records
        if isinstance(record, dict)
        and isinstance(record.get("path"), str)
        and not record["path"].startswith(_OUTPUT)
    }
    ranked = sorted(records, key=_rank)
    for record in ranked[:FILES_LIMIT]:
        sieve.add(record, lambda path: _home_path(path, taken))
    left = _left([*_behind(ranked[FILES_LIMIT:]), *_told(listed.get("left"))])
    return Manifest(tuple(sieve.files), sieve.refusals(), left)


def parse_checkpoint(document: bytes, path: str, *, limit_bytes: int) -> CheckpointManifest:
    """The `complete.json` of the checkpoint folder `path` on the machine.

    Raises: HostileArtifact also for a single refused file: half a checkpoint is none.
    """
    problem = path_problem(path)
    if problem or path.split("/")[:-1] != [protocol.CHECKPOINTS_DIR]:
        raise HostileArtifact(f"A checkpoint at {shown(path)} is refused.")
    record = to_object(document, _LIST, limit_bytes=DOCUMENT_LIMIT_BYTES)
    step = record.get("step")
    if type(step) is not int or not 0 <= step < 10**12:
        raise HostileArtifact(f"The checkpoint {shown(path)} has no step that can be.")
    sieve = _Sieve(limit_bytes)
    records = _records(record)
    if len(records) > FILES_LIMIT:
        raise HostileArtifact(f"The checkpoint {shown(path)} has more than {FILES_LIMIT} files.")
    for each in records:
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
    _refused_files: int = 0
    _paths: set[str] = field(default_factory=set)
    _homes: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)

    def add(self, record: object, home_path: _HomePath) -> None:
        """Keep or refuse one record."""
        if not isinstance(record, dict) or not isinstance(record.get("path"), str):
            self._refuse("a file without a path")
            return
        path = record["path"]
        problem = path_problem(path) or self._value_problem(record)
        home = "" if problem else home_path(path)
        problem = problem or self._place_problem(path, home)
        if problem:
            self._refuse(f"{shown(path)} is refused: it {problem}")
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

    def refusals(self) -> tuple[str, ...]:
        """Why files were refused, in at most so many sentences."""
        more = self._refused_files - len(self.refused)
        return (*self.refused, f"and {more} more files are refused") if more else (*self.refused,)

    def _refuse(self, why: str) -> None:
        self._refused_files += 1
        if len(self.refused) < _MOST_NAMED:
            self.refused.append(why)

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
        if path.count("/") > protocol.DEEPEST:
            return "is too deep"
        if home in self._homes or home in self._folders or self._homes.intersection(_parents(home)):
            return "is in another file's way"
        if len(self._folders) > _FOLDERS_LIMIT and not self._folders.issuperset(_parents(home)):
            return "is in one folder too many"
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


def _records(record: dict[str, object]) -> list[object]:
    files = record.get("files")
    if not isinstance(files, list):
        raise HostileArtifact(f"{_LIST} has no files.")
    return files


def _behind(records: Iterable[object]) -> Iterator[tuple[str, str, int]]:
    """(kind, path, 1) of files that are too many."""
    for record in records:
        if isinstance(record, dict) and isinstance(record.get("path"), str):
            yield protocol.KINDS[min(_rank(record), len(protocol.KINDS) - 1)], record["path"], 1


def _told(left: object) -> Iterator[tuple[str, str, int]]:
    """(kind, first path, files) of each record in a MANIFEST's `left`."""
    for record in left[: len(protocol.KINDS)] if isinstance(left, list) else ():
        if not isinstance(record, dict):
            continue
        kind, first, files = record.get("kind"), record.get("first"), record.get("files")
        is_kind = isinstance(kind, str) and kind in protocol.KINDS
        if is_kind and isinstance(first, str) and type(files) is int and 0 < files < _MOST_LEFT:
            yield str(kind), first, files


def _left(counted: Iterable[tuple[str, str, int]]) -> tuple[tuple[str, str], ...]:
    """A sentence for each kind of which files are left behind."""
    counts: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for kind, path, files in counted:
        counts[kind] = counts.get(kind, 0) + files
        firsts.setdefault(kind, path)
    most = f"{FILES_LIMIT} are the most that come home (one archive holds any number)"
    return tuple(
        (kind, f"{count} files, {shown(firsts[kind])} first, are left: {most}")
        for kind, count in counts.items()
    )
