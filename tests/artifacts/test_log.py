from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts.disk import KEPT_FREE_BYTES
from orchestrator.artifacts.log import LIMIT_BYTES, LINE_LIMIT_BYTES, LogFile, safe_text
from orchestrator.errors import HomeDiskFull, HostileArtifact
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Shell
from tests.remote.conftest import Machine


def test_the_log_comes_home_piece_by_piece_and_stays_raw(
    machine: Machine, shell: Shell, tmp_path: Path
) -> None:
    raw = b"\x1b[31mred\x1b[0m\xff\n" * 1000
    (machine.folder / "log.txt").write_bytes(raw)
    log = LogFile(tmp_path / "run")

    assert log.fetch_some(shell, limit=5000) == 5000
    while LogFile(tmp_path / "run").fetch_some(shell, limit=5000):
        pass
    assert log.path.read_bytes() == raw


def test_a_second_machines_log_is_appended(tmp_path: Path) -> None:
    for number in (1, 2):
        shell = FolderShell(tmp_path / f"m{number}")
        shell.write("log.txt", b"machine %d\n" % number)
        log = LogFile(tmp_path / "run", base=LogFile(tmp_path / "run").size_bytes())
        log.fetch_some(shell)
        assert log.fetch_some(shell) == 0

    assert [line for _, line in log.lines()] == ["machine 1", "machine 2"]


def test_lines_go_on_from_an_offset_and_wait_for_the_newline(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.append(b"one\ntwo\nthr")

    seen = list(log.lines())
    assert seen == [(4, "one"), (8, "two")]
    log.append(b"ee\nend")
    assert list(log.lines(8)) == [(14, "three")]
    assert list(log.lines(14, whole=True)) == [(17, "end")]
    assert list(LogFile(tmp_path / "absent").lines()) == []


def test_a_line_of_one_gigabyte_is_shown_in_pieces(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    with log.path.open("wb") as file:
        file.truncate(10**9)

    lines = log.lines()
    for count in range(1, 5):
        offset, text = next(lines)
        assert offset == count * LINE_LIMIT_BYTES
        assert len(text) <= LINE_LIMIT_BYTES


def test_a_link_in_the_logs_place_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    log = LogFile(tmp_path / "run")
    log.append(b"")
    log.path.unlink(missing_ok=True)
    log.path.symlink_to(victim)
    log.append(b"data")

    assert victim.read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "other")
    with pytest.raises(HostileArtifact):
        LogFile(tmp_path / "linked").append(b"data")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]52;c;aGk=\x1b\\after", "after"),
        (b"\x1bPdevice\x1b\\after", "after"),
        (b"\xc2\x9b31mred", "red"),
        (b"\x1b]never ended\nnext", "\nnext"),
        (b"\x1b(B\x1bMtext\x1b", "text"),
        (b"a\x08\x08b\x00\x7f", "ab"),
        (b" 10%\r 20%\r\n", " 10%\n 20%\n"),
        ("\u202eevil\u2066".encode(), "evil"),
        (b"\xff\xfetext", "\ufffd\ufffdtext"),
        ("größe\t模型 🎉\n".encode(), "größe\t模型 🎉\n"),
    ],
)
def test_escapes_are_taken_out(raw: bytes, text: str) -> None:
    assert safe_text(raw) == text


@given(
    st.lists(
        st.sampled_from(["\x1b", "[", "]", "31m", "\x07", "\\", "P", "\r", "a", "\x9b", "é"])
    ).map("".join)
)
def test_no_escape_survives(text: str) -> None:
    assert all(letter.isprintable() or letter in "\t\n" for letter in safe_text(text.encode()))


def test_all_that_can_be_printed_is_left_as_it_is() -> None:
    text = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isprintable())

    assert safe_text(b"\x00" + text.encode()) == text


def test_a_machine_that_logs_without_end_fills_no_disk_at_home(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "machine")
    for name, size_bytes in (("machine/log.txt", LIMIT_BYTES + 4096), ("run/log.txt", LIMIT_BYTES)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(size_bytes)  # no block of it is really there

    assert LogFile(tmp_path / "run").fetch_some(shell) == 0
    assert LogFile(tmp_path / "run", base=100).fetch_some(shell) == 100


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_log_leaves_the_store_its_room_and_goes_on_once_more_is_made(
    tmp_path: Path, small_disk: Path
) -> None:
    shell, log = FolderShell(tmp_path / "machine"), LogFile(small_disk)
    shell.write("log.txt", b"line\n" * 1_000_000)
    ballast = small_disk / "ballast"
    with pytest.raises(HomeDiskFull):
        while log.fetch_some(shell):
            free_bytes = shutil.disk_usage(small_disk).free
            ballast.write_bytes(bytes(max(0, free_bytes - KEPT_FREE_BYTES - 500_000)))

    here_bytes = log.size_bytes()
    assert shutil.disk_usage(small_disk).free >= KEPT_FREE_BYTES
    ballast.unlink()
    while log.fetch_some(shell):
        pass
    assert here_bytes < log.size_bytes() == 5_000_000
