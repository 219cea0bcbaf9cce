"""Reading a whole small document from a machine, as long as it is small."""

from __future__ import annotations

import json

from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell

_READ_BYTES = 1024 * 1024  # in one call, which has a minute: a slow line brings that too
# Each value of a JSON text takes up to a hundred bytes of memory, and may be two bytes long. A
# list of 100,000 files has a million.
_VALUES_LIMIT = 2_000_000
_MOST_SHORT = 2  # reads that end before the file does: it may grow meanwhile


def read_document(shell: Shell, path: str, limit_bytes: int) -> bytes:
    """The file's bytes; empty when it is absent.

    Raises: Unreachable; HostileArtifact when it is longer than `limit_bytes`, or never whole.
    """
    document, short, asked_bytes = bytearray(), 0, min(_READ_BYTES, limit_bytes + 1)
    while data := shell.read(path, len(document), asked_bytes):
        document += data
        short += len(data) < asked_bytes
        if short > _MOST_SHORT:
            raise HostileArtifact(f"{shown(path)} on the machine comes in crumbs.")
        if len(document) > limit_bytes:
            raise HostileArtifact(f"{shown(path)} on the machine is absurdly long.")
    return bytes(document)


def to_object(document: bytes, name: str, *, limit_bytes: int) -> dict[str, object]:
    """The JSON object that `document` is; `name` says in errors what it should be.

    Raises: HostileArtifact for anything else, and for one that would fill this computer's memory.
    """
    values = sum(map(document.count, (b",", b"[", b"{")))
    if len(document) > limit_bytes or values > _VALUES_LIMIT:
        raise HostileArtifact(f"{name} is absurdly long.")
    try:
        record = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise HostileArtifact(f"{name} is no JSON.") from error
    if not isinstance(record, dict):
        raise HostileArtifact(f"{name} is no JSON object.")
    return record
