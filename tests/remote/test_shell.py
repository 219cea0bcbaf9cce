"""What every shell promises, over a real sshd and over a folder."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator

import pytest

from orchestrator.errors import AgentFault, RemoteError, Unreachable
from orchestrator.remote.shell import Shell
from tests.remote.conftest import Machine

AWKWARD = 'a folder/it\'s $HOME; `x` & "y" -é.bin'


def tar_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def test_a_command_runs_in_the_work_folder_which_is_private(shell: Shell, machine: Machine) -> None:
    reply = shell.run("pwd; echo problem >&2; exit 3")

    assert (reply.exit_code, reply.stderr) == (3, b"problem\n")
    assert reply.stdout.decode().strip() == str(machine.folder)
    assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o700


def test_stdin_reaches_a_command_whole_while_it_answers(shell: Shell) -> None:
    data = bytes(range(256)) * 20_000

    assert shell.run("cat", stdin=data).stdout == data


def test_a_command_may_leave_its_stdin_unread(shell: Shell) -> None:
    assert shell.run("echo done", stdin=bytes(8_000_000)).stdout == b"done\n"


def test_a_command_without_stdin_sees_its_end(shell: Shell) -> None:
    assert shell.run("cat; echo end").stdout == b"end\n"


def test_a_killed_command_reads_as_128_plus_the_signal(shell: Shell) -> None:
    assert shell.run("kill -9 $$").exit_code == 137


def test_both_outputs_are_cut_at_16_mib_and_the_command_still_ends(shell: Shell) -> None:
    reply = shell.run("head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 4")

    assert (len(reply.stdout), len(reply.stderr)) == (16 * 2**20, 16 * 2**20)
    assert reply.exit_code == 4


def test_a_command_that_does_not_end_in_time_counts_as_unreachable(shell: Shell) -> None:
    with pytest.raises(Unreachable, match="end"):
        shell.run("exec sleep 30", timeout_s=0.3)


def test_a_command_that_detaches_with_its_descriptors_returns_at_once(shell: Shell) -> None:
    reply = shell.run("sleep 20 </dev/null >/dev/null 2>&1 & echo $!", timeout_s=5)

    assert shell.run(f"kill {int(reply.stdout)}").exit_code == 0


def test_read_gives_a_range_and_nothing_behind_the_end_or_of_an_absent_file(shell: Shell) -> None:
    shell.write(AWKWARD, b"0123456789")

    assert shell.read(AWKWARD, 2, 3) == b"234"
    assert shell.read(AWKWARD, 8, 100) == b"89"
    assert shell.read(AWKWARD, 10, 5) == b""
    assert shell.read("absent/file", 0, 5) == b""


def test_write_replaces_a_file_whole_with_its_mode(shell: Shell, machine: Machine) -> None:
    shell.write("run.json", b"x" * 3_000_000)
    shell.write("run.json", b"new", mode=0o644)

    assert (machine.folder / "run.json").read_bytes() == b"new"
    assert stat.S_IMODE((machine.folder / "run.json").stat().st_mode) == 0o644
    assert [path.name for path in machine.folder.glob(".gpulease*")] == []


def test_write_to_a_place_that_is_a_folder_says_so(shell: Shell) -> None:
    shell.run("mkdir -p taken/x")

    with pytest.raises(RemoteError, match="taken"):
        shell.write("taken", b"data")


def test_push_unpacks_a_stream(shell: Shell, machine: Machine) -> None:
    files = {"code/train.py": b"print(1)\n", AWKWARD: bytes(3_000_000)}
    packed = tar_of(files)

    shell.push(packed[at : at + 100_000] for at in range(0, len(packed), 100_000))

    assert {name: (machine.folder / name).read_bytes() for name in files} == files


def test_push_of_a_stream_that_breaks_off_raises_its_error(shell: Shell) -> None:
    def broken() -> Iterator[bytes]:
        yield tar_of({"a": b"1"})[:1024]
        raise RuntimeError("changed while it was sent")

    with pytest.raises(RuntimeError, match="changed"):
        shell.push(broken())


def test_push_of_nonsense_is_a_remote_error(shell: Shell) -> None:
    with pytest.raises(RemoteError):
        shell.push([b"this is no tar" * 1000])


def test_pull_gives_ranges_and_ends_early_where_the_file_does(shell: Shell) -> None:
    data = bytes(range(256)) * 9000
    shell.write(AWKWARD, data)

    assert b"".join(shell.pull(AWKWARD, 0, len(data))) == data
    assert b"".join(shell.pull(AWKWARD, 1000, 3000)) == data[1000:3000]
    assert b"".join(shell.pull(AWKWARD, len(data) - 5, len(data) + 50)) == data[-5:]
    assert b"".join(shell.pull(AWKWARD, 7, 7)) == b""


def test_pull_goes_on_after_a_reader_that_stopped_half_way(shell: Shell) -> None:
    data = bytes(range(256)) * 9000
    shell.write("big", data)
    half_read = shell.pull("big", 0, len(data))
    next(half_read)
    del half_read

    assert b"".join(shell.pull("big", 0, len(data))) == data


def test_pull_of_an_absent_file_is_the_agents_fault_and_the_next_one_works(shell: Shell) -> None:
    shell.write("there", b"data")

    with pytest.raises(AgentFault, match="absent"):
        list(shell.pull("absent", 0, 5))
    assert list(shell.pull("there", 0, 4)) == [b"data"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\0b"])
def test_paths_that_leave_the_work_folder_are_our_own_mistake(shell: Shell, path: str) -> None:
    for attempt in (
        lambda: shell.read(path, 0, 1),
        lambda: shell.write(path, b""),
        lambda: list(shell.pull(path, 0, 1)),
    ):
        with pytest.raises(ValueError, match=r"has the part|is absolute|is empty|has a control"):
            attempt()


def test_close_may_be_repeated(shell: Shell) -> None:
    shell.close()
    shell.close()
