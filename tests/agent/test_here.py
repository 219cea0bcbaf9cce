from __future__ import annotations

import hashlib
import io
import json
import os
import time
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.here import drop, join_tails, list_here


def rows(work: Path, *folders: str) -> dict[str, tuple[str, str, int]]:
    out = io.BytesIO()
    list_here(work, folders or (protocol.CODE_DIR, protocol.DATA_DIR), out)
    found = {}
    for row in out.getvalue().split(b"\0")[:-1]:
        mode, sha256, size_bytes, path = row.split(b" ", 3)
        found[os.fsdecode(path)] = mode.decode(), sha256.decode(), int(size_bytes)
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "code/pkg").mkdir(parents=True)
    (tmp_path / "code/train.py").write_bytes(b"one")
    (tmp_path / "code/pkg/run.sh").write_bytes(b"two")
    (tmp_path / "code/pkg/run.sh").chmod(0o755)
    (tmp_path / "code/link").symlink_to("train.py")
    (tmp_path / "code/away").symlink_to("/etc")
    (tmp_path / "output").mkdir()
    (tmp_path / "output/model.bin").write_bytes(b"not the driver's")
    return tmp_path


def remembered(work: Path) -> dict[str, list[object]]:
    file = work / protocol.HASHES_FILE
    known: dict[str, list[object]] = json.loads(file.read_text()) if file.exists() else {}
    return known


def remove(work: Path, *paths: str) -> None:
    drop(work, io.BytesIO(json.dumps(paths).encode()))


def test_files_and_links_are_listed_and_links_are_not_followed(work: Path) -> None:
    (work / "code" / os.fsdecode(b"od\xff d")).write_bytes(b"")

    assert rows(work) == {
        "code/train.py": ("644", sha256(b"one"), 3),
        "code/pkg/run.sh": ("755", sha256(b"two"), 3),
        "code/link": ("link", sha256(b"train.py"), 0),
        "code/away": ("link", sha256(b"/etc"), 0),
        os.fsdecode(b"code/od\xff d"): ("644", sha256(b""), 0),
    }
    assert rows(work, protocol.MODEL_DIR) == {}


def test_what_was_hashed_is_remembered_until_the_file_changes(work: Path) -> None:
    path = work / "code/train.py"
    deadline_s = time.monotonic() + 10
    while path.name not in str(known := remembered(work)):  # until the file is old enough
        assert time.monotonic() < deadline_s
        rows(work)
    known["code/train.py"][4] = "remembered"
    (work / protocol.HASHES_FILE).write_text(json.dumps(known))

    assert rows(work)["code/train.py"][1] == "remembered"
    path.write_bytes(b"new")
    assert rows(work)["code/train.py"][1] == sha256(b"new")


def test_a_fresh_file_is_not_remembered_it_may_change_within_the_clock_s_tick(work: Path) -> None:
    rows(work)

    assert not (work / protocol.HASHES_FILE).exists()


def test_dropped_files_are_gone_with_their_empty_folders_and_nothing_else_is(work: Path) -> None:
    remove(work, "code/pkg/run.sh", "code/link", "code/absent", "output/model.bin", "code/../x")

    assert not (work / "code/pkg").exists()
    assert not (work / "code/link").is_symlink() and (work / "code/train.py").exists()
    assert (work / "output/model.bin").exists()


def test_nothing_is_dropped_through_a_link(
    work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "precious").write_text("x")
    (work / "code/out").symlink_to(other)

    remove(work, "code/out/precious")

    assert (other / "precious").exists()


def test_the_rest_of_a_cut_file_is_put_behind_what_is_there(work: Path) -> None:
    whole, tails = work / "data/big.bin", work / protocol.TAILS_DIR
    (work / "data").mkdir()
    whole.write_bytes(b"begin")
    (tails / "5/data").mkdir(parents=True)
    (tails / "5/data/big.bin").write_bytes(b" and end")

    join_tails(work)

    assert whole.read_bytes() == b"begin and end"
    assert not tails.exists()
    join_tails(work)
    assert whole.read_bytes() == b"begin and end"


def test_a_rest_that_was_joined_by_somebody_who_died_is_not_joined_twice(work: Path) -> None:
    tails = work / protocol.TAILS_DIR
    (tails / "3/code").mkdir(parents=True)
    (tails / "3/code/train.py").write_bytes(b"!")
    (work / "code/train.py").write_bytes(b"one!")

    assert rows(work)["code/train.py"] == ("644", sha256(b"one!"), 4)
    assert not tails.exists()
