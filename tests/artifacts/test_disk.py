from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orchestrator.artifacts.disk import disk_errors, folder_below, open_regular, write_durably
from orchestrator.errors import ArtifactsError, HomeDiskFull, HostileArtifact


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, HomeDiskFull),
        (errno.EDQUOT, HomeDiskFull),
        (errno.ELOOP, HostileArtifact),
        (errno.ENOTDIR, HostileArtifact),
        (errno.EACCES, ArtifactsError),
    ],
)
def test_the_systems_errors_become_ours(number: int, kind: type[ArtifactsError]) -> None:
    with pytest.raises(kind) as caught, disk_errors("model/\x1b"):
        raise OSError(number, os.strerror(number))

    assert type(caught.value) is kind
    assert caught.value.problem.isprintable()


def test_folders_are_made_and_files_written_below(tmp_path: Path) -> None:
    write_durably(tmp_path / "root", "a/b/file", b"1")
    write_durably(tmp_path / "root", "a/b/file", b"22")

    assert (tmp_path / "root" / "a" / "b" / "file").read_bytes() == b"22"


@pytest.mark.parametrize("linked", ["a", "a/b"])
def test_a_linked_folder_on_the_way_is_refused(tmp_path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "root" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    with pytest.raises(HostileArtifact, match="in the way"):
        write_durably(tmp_path / "root", "a/b/file", b"1")
    assert list(outside.iterdir()) == []


def test_a_path_that_leaves_the_root_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.\."), folder_below(tmp_path, "../x"):
        pass


def test_only_a_regular_file_of_one_name_is_opened(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "hard").hardlink_to(victim)
    (tmp_path / "soft").symlink_to(victim)
    os.mkfifo(tmp_path / "pipe")

    with folder_below(tmp_path, "") as folder:
        for name in ("hard", "soft", "pipe"):
            descriptor = open_regular(name, os.O_WRONLY | os.O_CREAT, folder)
            os.write(descriptor, b"new")
            os.close(descriptor)
            assert (tmp_path / name).read_bytes() == b"new"
    assert victim.read_text() == "mine"
