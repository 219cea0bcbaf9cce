"""Reading a whole small document from a machine, as long as it is small."""

from __future__ import annotations

from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell

_READ_BYTES = 8 * 1024 * 1024
_MOST_SHORT = 4  # reads that end before the file does: it may grow meanwhile


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
