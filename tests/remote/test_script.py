from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.remote.script import enter, last_words, read_file, write_file
from orchestrator.remote.shell import Reply


def sh(script: str, folder: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["sh", "-c", script],
        input=stdin,
        capture_output=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def test_the_folder_is_made_below_the_home_and_entered(tmp_path: Path) -> None:
    done = sh(f"{enter('gpulease/a')}\npwd", tmp_path)

    assert done.stdout.decode().strip() == str(tmp_path / "gpulease/a")


@pytest.mark.parametrize("work_dir", ["", "/etc", "../x", "a/../../x", "-rf", "a b", "$HOME"])
def test_no_other_folder_is_ever_entered(work_dir: str) -> None:
    with pytest.raises(ValueError, match="no folder below"):
        enter(work_dir)


def test_a_file_that_arrived_in_part_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    assert sh(write_file("f", 10, 0o600), tmp_path, b"new").returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert sh(read_file("f", 1, 9), tmp_path).stdout == b"ld"


def test_last_words_are_the_end_of_what_was_said() -> None:
    assert last_words(Reply(1, b"", b"x" * 600 + b" end\n")).endswith("x end")
