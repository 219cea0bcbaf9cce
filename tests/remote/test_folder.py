from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RemoteError
from orchestrator.remote.folder import FolderShell


def test_commands_do_not_see_the_credentials_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "s3cret")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")

    seen = FolderShell(tmp_path / "m").run("env").stdout

    assert b"s3cret" not in seen
    assert b"PIP_INDEX_URL=kept" in seen


def test_commands_see_the_environment_that_is_given(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m", {"PATH": "/usr/bin:/bin", "ONLY": "this"})

    assert b"ONLY=this" in shell.run("env").stdout


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RemoteError, match="cannot be"):
        FolderShell(tmp_path / "file" / "below").run("true")
