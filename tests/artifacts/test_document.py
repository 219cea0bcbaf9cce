from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from orchestrator.artifacts.document import read_document, to_object
from orchestrator.errors import HostileArtifact
from orchestrator.remote.folder import FolderShell


class Crumbling(FolderShell):
    """A machine that gives a byte a call."""

    reads = 0

    def read(self, path: str, offset: int, limit: int) -> bytes:
        self.reads += 1
        return super().read(path, offset, 1)


def test_a_document_is_read_whole_and_refused_when_too_long(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path)
    data = bytes(range(256)) * 70_000
    shell.write("document", data)

    assert read_document(shell, "document", len(data)) == data
    assert read_document(shell, "absent", 10) == b""
    with pytest.raises(HostileArtifact, match="absurdly long"):
        read_document(shell, "document", len(data) - 1)


def test_a_document_that_comes_in_crumbs_is_not_waited_for(tmp_path: Path) -> None:
    shell = Crumbling(tmp_path)
    shell.write("document", bytes(1000))

    with pytest.raises(HostileArtifact, match="crumbs"):
        read_document(shell, "document", 2000)

    assert shell.reads <= 3


@pytest.mark.parametrize("text", [b"[]", b"", b"7", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused_by_its_name(text: bytes) -> None:
    with pytest.raises(HostileArtifact, match="The list is no JSON"):
        to_object(text, "The list", limit_bytes=10**6)


@pytest.mark.parametrize("values", [b"{},", b"[],", b"7,", b'"",', b'{"a":{}},'])
def test_json_that_would_fill_the_memory_is_refused_before_it_is_read(values: bytes) -> None:
    text = b'{"files": [' + values * (16 * 2**20 // len(values)) + b"7]}"
    tracemalloc.start()
    try:
        with pytest.raises(HostileArtifact, match="The list is absurdly long"):
            to_object(text, "The list", limit_bytes=2**30)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
