from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.artifacts.document import read_document
from orchestrator.errors import HostileArtifact
from orchestrator.remote.folder import FolderShell


def test_a_document_is_read_whole_and_refused_when_too_long(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path)
    data = bytes(range(256)) * 70_000
    shell.write("document", data)

    assert read_document(shell, "document", len(data)) == data
    assert read_document(shell, "absent", 10) == b""
    with pytest.raises(HostileArtifact, match="absurdly long"):
        read_document(shell, "document", len(data) - 1)
