from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.errors import AgentFault
from orchestrator.lifecycle.secrets import send_secret
from orchestrator.remote.folder import FolderShell

NAME = "slots.json"


def test_a_secret_is_a_private_file_and_the_older_one_is_gone(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "machine")
    link = tmp_path / "machine" / NAME

    send_secret(shell, NAME, b"first", in_memory=True)
    first = link.resolve()
    send_secret(shell, NAME, b"second", in_memory=True)

    second = link.resolve()
    try:
        assert link.is_symlink()
        assert link.read_bytes() == b"second"
        assert stat.S_IMODE(second.stat().st_mode) == 0o600
        assert first != second
        assert not first.exists()
    finally:
        second.unlink()


def test_a_file_that_lay_there_before_is_not_followed(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "machine")
    other = tmp_path / "other"
    other.write_bytes(b"not ours")
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / NAME).symlink_to(other)

    send_secret(shell, NAME, b"secret", in_memory=True)

    assert other.read_bytes() == b"not ours"
    (tmp_path / "machine" / NAME).resolve().unlink()


def test_on_an_own_computer_it_lies_in_the_folder_that_is_removed(tmp_path: Path) -> None:
    send_secret(FolderShell(tmp_path / "machine"), NAME, b"secret", in_memory=False)

    path = tmp_path / "machine" / NAME
    assert not path.is_symlink()
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_does_not_arrive_is_told_without_its_words(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    (machine / NAME / "full").mkdir(parents=True)  # a folder where the file should be

    with pytest.raises(AgentFault, match="could not be written") as caught:
        send_secret(FolderShell(machine), f"{NAME}/full/no/folder", b"s3cret", in_memory=True)

    assert "s3cret" not in str(caught.value)
