from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.remote.bundle import (
    Entry,
    bundle,
    bytes_entry,
    file_entry,
    folder_entries,
    link_stays_inside,
)

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"),
    min_size=1,
    max_size=60,
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


def packed(entries: list[Entry]) -> bytes:
    return b"".join(bundle(entries))


def is_free_of_conflicts(paths: list[str]) -> bool:
    parents = {path[:at] for path in paths for at in range(len(path)) if path[at] == "/"}
    return not parents.intersection(paths)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(PATHS, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=6).filter(
        lambda files: is_free_of_conflicts(list(files))
    )
)
def test_what_is_packed_comes_out_by_tarfile_and_gnu_tar(
    files: dict[str, tuple[bytes, bool]],
) -> None:
    entries = [
        bytes_entry(path, data, 0o755 if executable else 0o644)
        for path, (data, executable) in files.items()
    ]
    stream = packed(entries)

    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        read = {each.name: (each, tar.extractfile(each)) for each in tar.getmembers()}
        for path, (data, executable) in files.items():
            member, content = read[path]
            assert content is not None and content.read() == data
            assert bool(member.mode & 0o100) == executable
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-f", "-"], input=stream, cwd=folder, check=True)
        for path, (data, executable) in files.items():
            assert (Path(folder) / path).read_bytes() == data
            assert os.access(Path(folder) / path, os.X_OK) == executable


def test_the_same_files_give_the_same_bytes_whatever_their_order_and_times(tmp_path: Path) -> None:
    seeded = random.Random(1)
    for number in range(50):
        path = tmp_path / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * 5000)
    entries = folder_entries("code", tmp_path)
    first = packed(entries)
    for entry in entries:
        assert isinstance(entry.content, Path)
        os.utime(entry.content, (seeded.random() * 1e9, seeded.random() * 1e9))
        entry.content.chmod(seeded.choice([0o600, 0o644, 0o666]))
    seeded.shuffle(entries)

    assert packed(folder_entries("code", tmp_path)) == packed(entries) == first


def test_large_files_are_streamed_and_small_ones_batched(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(5_000_000))
    pieces = list(
        bundle([file_entry("z", large), *(bytes_entry(f"{n}", b"x") for n in range(500))])
    )

    assert max(map(len, pieces)) < 3 * 2**20
    assert len(pieces) < 12
    assert sum(map(len, pieces)) % tarfile.RECORDSIZE == 0


def test_times_can_be_put_into_a_wheel() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed([bytes_entry("a", b"")]))) as tar:
        member = tar.getmember("a")
    assert member.mtime >= 315_532_800  # 1980
    assert (member.uid, member.gid, member.uname) == (0, 0, "")


def changing(path: Path, data: bytes) -> Iterator[bytes]:
    stream = bundle([bytes_entry("a", bytes(2**21)), file_entry("b", path), bytes_entry("c", b"")])
    yield next(stream)
    yield next(stream)
    path.write_bytes(data)
    yield from stream


@pytest.mark.parametrize("size_bytes", [1_000_000, 5_000_000, 3_000_000])
def test_a_file_that_shrinks_grows_or_changes_is_said(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(3_000_000))
    os.utime(path, (1, 1))

    with pytest.raises(SpecError, match="changed while it was sent"):
        list(changing(path, b"x" * size_bytes))


def test_a_file_that_went_or_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(SpecError, match="cannot be read"):
        file_entry("a", tmp_path / "absent")
    with pytest.raises(SpecError, match="cannot be read"):
        packed([Entry("a", tmp_path / "folder")])


@pytest.mark.parametrize(
    "paths",
    [["../a"], ["/a"], ["a//b"], [""], ["a", "a"], ["a", "a/b"], ["a-b", "a", "a/c"]],
)
def test_paths_that_leave_or_collide_are_refused(paths: list[str]) -> None:
    with pytest.raises(SpecError):
        packed([bytes_entry(path, b"") for path in paths])


def test_links_stay_links_inside_and_are_refused_outside(tmp_path: Path) -> None:
    stream = packed([bytes_entry("d/file", b"1"), Entry("d/link", link="file")])
    subprocess.run(["tar", "-x", "-f", "-"], input=stream, cwd=tmp_path, check=True)

    assert (tmp_path / "d" / "link").readlink() == Path("file")
    for target in ("/etc/passwd", "../../x", ".."):
        with pytest.raises(SpecError, match="outside"):
            packed([Entry("link", link=target)])


@given(st.lists(st.sampled_from(["..", ".", "a", "b"]), min_size=1, max_size=6).map("/".join))
def test_a_link_stays_inside_exactly_when_the_system_says_so(target: str) -> None:
    end = os.path.normpath(f"/root/x/{target}")
    assert link_stays_inside("x/link", target) == (end == "/root" or end.startswith("/root/"))
