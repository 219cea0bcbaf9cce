from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.lifecycle.snapshot import MANIFEST, code_entries, keep_code
from orchestrator.remote.bundle import bundle
from tests.lifecycle.jobs import own_code, tickets


def content(folder: Path) -> dict[str, bytes]:
    found = {}
    for entry in code_entries(folder):
        assert isinstance(entry.content, Path)
        data = entry.content.read_bytes()
        assert entry.sha256 in ("", hashlib.sha256(data).hexdigest())
        found[entry.path] = data
    return found


def test_the_copy_stays_as_it_was_at_submit(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "own/run.sh").chmod(0o755)
    (tmp_path / "own/same.py").symlink_to("train.py")

    keep_code(tmp_path / "run", job)
    (tmp_path / "own/train.py").write_text("edited")

    assert content(tmp_path / "run") == {
        "code/run.sh": b"#!/bin/sh\n",
        "code/same.py": b"print('first')\n",
        "code/train.py": b"print('first')\n",
    }
    modes = {entry.path: entry.mode for entry in code_entries(tmp_path / "run")}
    assert (modes["code/run.sh"], modes["code/train.py"]) == (0o755, 0o644)
    assert all(entry.sha256 for entry in code_entries(tmp_path / "run"))


def test_what_did_not_change_shares_its_file_with_the_earlier_run(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/big.bin").write_bytes(bytes(1000))
    keep_code(tmp_path / "first", job)
    (tmp_path / "own/train.py").write_text("print('again')\n")

    keep_code(tmp_path / "second", job, like=tmp_path / "first")

    first, second = (tmp_path / name / "code" for name in ("first", "second"))
    assert (second / "big.bin").samefile(first / "big.bin")
    assert content(tmp_path / "second")["code/train.py"] == b"print('again')\n"
    assert content(tmp_path / "first")["code/train.py"] == b"print('first')\n"


def test_a_file_of_the_same_size_and_time_that_was_written_anew_is_copied(tmp_path: Path) -> None:
    import os

    job = own_code(tmp_path)
    source = tmp_path / "own/train.py"
    keep_code(tmp_path / "first", job)
    status = source.stat()
    source.write_text("print('2nd !')\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size

    keep_code(tmp_path / "second", job, like=tmp_path / "first")

    assert content(tmp_path / "second") == {"code/train.py": b"print('2nd !')\n"}


@pytest.mark.parametrize("spoil", ["", "{}", "[1]", '{"train.py": 3}'])
def test_without_a_manifest_that_can_be_read_everything_is_copied_and_sent(
    tmp_path: Path, spoil: str
) -> None:
    job = own_code(tmp_path)
    keep_code(tmp_path / "first", job)
    (tmp_path / "first" / MANIFEST).write_text(spoil)

    keep_code(tmp_path / "second", job, like=tmp_path / "first")

    assert content(tmp_path / "first") == content(tmp_path / "second")
    stream = b"".join(bundle(code_entries(tmp_path / "first")))
    assert stream == b"".join(bundle(code_entries(tmp_path / "second")))


def test_a_copy_that_was_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    keep_code(tmp_path / "first", job)
    (tmp_path / "first/code/train.py").unlink()

    keep_code(tmp_path / "second", job, like=tmp_path / "first")

    assert content(tmp_path / "second") == {"code/train.py": b"print('first')\n"}


def test_a_program_of_ours_needs_no_copy(tmp_path: Path) -> None:
    keep_code(tmp_path / "run", tickets(tmp_path))

    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_is_gone_is_a_mistake_in_the_job(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own").rename(tmp_path / "elsewhere")

    with pytest.raises(SpecError, match="no such folder"):
        keep_code(tmp_path / "run", job)
    assert json.dumps(job.to_document())


def test_what_is_ours_is_not_copied(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    home = tmp_path / "own/.gpulease"
    home.mkdir()
    (home / "key").write_text("secret")

    keep_code(home / "runs/r1", job, private=[home])

    assert {entry.path for entry in code_entries(home / "runs/r1")} == {"code/train.py"}
