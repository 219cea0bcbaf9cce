"""Reading a whole small document from a machine, as long as it is small."""

from __future__ import annotations

from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell

_READ_BYTES = 8 * 1024 * 1024


def read_document(shell: Shell, path: str, limit_bytes: int) -> bytes:
    """The file's bytes; empty when it is absent.

    Raises: Unreachable; HostileArtifact when it is longer than `limit_bytes`.
    """
    document = bytearray()
    while data := shell.read(path, len(document), min(_READ_BYTES, limit_bytes + 1)):
        document += data
        if len(document) > limit_bytes:
            raise HostileArtifact(f"{shown(path)} on the machine is absurdly long.")
    return bytes(document)
