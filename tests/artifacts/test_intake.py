from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts.intake import Intake, Progress
from orchestrator.clock import FakeClock, SystemClock
from orchestrator.errors import ArtifactsError, HomeDiskFull, HostileArtifact, Unreachable
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Reply, Shell
from orchestrator.remote.ssh import SshShell
from tests.artifacts.conftest import FILES, Faulty, cut_after, fill, home_of, manifest_of
from tests.remote.conftest import WORK_DIR, Machine, open_ssh
from tests.remote.loopback_sshd import LoopbackSshd

MODEL = "output/model/model.safetensors"
FolderMachine = tuple[FolderShell, Path]


def intake_at(home: Path, clock: FakeClock | SystemClock | None = None) -> Intake:
    return Intake(
        home / "artifacts", home / "incoming", home / "verified.jsonl", clock or SystemClock()
    )


def fetch_all(intake: Intake, shell: Shell, files: dict[str, bytes]) -> Progress:
    for _ in range(100):
        progress = intake.fetch_some(shell, manifest_of(files).files)
        if progress.finished:
            intake.close()
            return progress
    raise AssertionError("never finished")


def at_home(home: Path) -> dict[str, bytes]:
    folder = home / "artifacts"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected(files: dict[str, bytes]) -> dict[str, bytes]:
    return {home_of(path): data for path, data in files.items()}


def test_every_file_comes_home_whole(filled: Shell, tmp_path: Path) -> None:
    progress = fetch_all(intake_at(tmp_path / "home"), filled, FILES)

    assert at_home(tmp_path / "home") == expected(FILES)
    assert progress == Progress(len(FILES), sum(map(len, FILES.values())), 0, 0)
    assert progress.fetched_bytes == progress.done_bytes
    assert list((tmp_path / "home" / "incoming").iterdir()) == []


def test_what_is_home_is_not_fetched_again(folder_machine: FolderMachine, tmp_path: Path) -> None:
    fetch_all(intake_at(tmp_path), folder_machine[0], FILES)
    watched = Faulty(folder_machine[0], lambda _, pieces: pieces)

    assert intake_at(tmp_path).missing(manifest_of(FILES).files) == []
    fetch_all(intake_at(tmp_path), watched, FILES)
    assert watched.pulled == []


def test_a_lost_index_costs_a_reading_and_no_transfer(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    fetch_all(intake_at(tmp_path), folder_machine[0], FILES)
    index = tmp_path / "verified.jsonl"
    index.write_text(index.read_text()[:150] + '{"torn')
    watched = Faulty(folder_machine[0], lambda _, pieces: pieces)

    fetch_all(intake_at(tmp_path), watched, FILES)

    assert watched.pulled == []
    assert intake_at(tmp_path).missing(manifest_of(FILES).files) == []


def test_a_file_of_new_content_replaces_the_old_one(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    shell, folder = folder_machine
    fetch_all(intake_at(tmp_path), shell, FILES)
    newer = {**FILES, "metrics.json": b'{"eval_accuracy": 0.8}'}
    fill(folder, newer)

    fetch_all(intake_at(tmp_path), shell, newer)

    assert at_home(tmp_path) == expected(newer)


def test_a_cut_is_raised_and_the_next_shell_goes_on_where_it_was(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    intake = intake_at(tmp_path)
    cut = Faulty(folder_machine[0], cut_after(5))
    with pytest.raises(Unreachable):
        fetch_all(intake, cut, FILES)
    watched = Faulty(folder_machine[0], lambda _, pieces: pieces)

    fetch_all(intake, watched, FILES)

    assert at_home(tmp_path) == expected(FILES)
    assert watched.pulled[0][0] == MODEL
    assert watched.pulled[0][1] > 0


def test_a_pull_over_ssh_survives_the_loss_of_the_server(
    own_sshd: LoopbackSshd, ssh_shell: SshShell, tmp_path: Path
) -> None:
    big = {"output/big": bytes(range(256)) * 150_000}
    fill(own_sshd.home / WORK_DIR, big)
    intake = intake_at(tmp_path)

    def stop_half_way(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for count, piece in enumerate(pieces):
            if count == 3:
                own_sshd.stop()
            yield piece

    with pytest.raises(Unreachable):
        intake.fetch_some(Faulty(ssh_shell, stop_half_way), manifest_of(big).files)
    own_sshd.start()
    again = open_ssh(own_sshd, WORK_DIR)
    watched = Faulty(again, lambda _, pieces: pieces)
    fetch_all(intake, watched, big)

    assert watched.pulled[0][1] > 0
    assert at_home(tmp_path) == expected(big)
    again.close()


WRITER = """
import sys
from pathlib import Path
from orchestrator.remote.folder import FolderShell
from tests.artifacts.conftest import FILES, Faulty, manifest_of
from tests.artifacts.test_intake import MODEL, intake_at

def hang_in_the_model(path, pieces):
    for count, piece in enumerate(pieces):
        if path == MODEL and count == int(sys.argv[3]):
            print("here", flush=True)
            sys.stdin.read()
        yield piece

shell = Faulty(FolderShell(Path(sys.argv[1])), hang_in_the_model)
intake_at(Path(sys.argv[2])).fetch_some(shell, manifest_of(FILES).files)
"""


@pytest.mark.parametrize("piece", [0, 1, 3])
def test_a_killed_process_leaves_what_the_next_one_goes_on_with(
    folder_machine: FolderMachine, tmp_path: Path, piece: int
) -> None:
    shell, folder = folder_machine
    home = tmp_path / "home"
    arguments = [sys.executable, "-c", WRITER, str(folder), str(home), str(piece)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"here\n"
        writer.kill()
    watched = Faulty(shell, lambda _, pieces: pieces)

    fetch_all(intake_at(home), watched, FILES)

    assert at_home(home) == expected(FILES)
    assert ("metrics.json", 0) not in watched.pulled
    assert (MODEL, piece * 256 * 1024) == watched.pulled[0]


def test_two_processes_do_not_write_one_file(folder_machine: FolderMachine, tmp_path: Path) -> None:
    shell, folder = folder_machine
    arguments = [sys.executable, "-c", WRITER, str(folder), str(tmp_path), "1"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"here\n"
        with pytest.raises(ArtifactsError, match="Another process"):
            fetch_all(intake_at(tmp_path), shell, FILES)
        writer.kill()


def test_one_flipped_byte_is_found_and_fetched_again(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    flips = iter([True])

    def flip(path: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            flipped = path == MODEL and next(flips, False)
            yield bytes([piece[0] ^ 1]) + piece[1:] if flipped else piece

    fetch_all(intake_at(tmp_path), Faulty(folder_machine[0], flip), FILES)

    assert at_home(tmp_path) == expected(FILES)


def test_a_rotten_part_of_an_earlier_process_is_fetched_from_its_start(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    part = manifest_of(FILES).files[-1]
    for file in manifest_of(FILES).files:
        if file.path == MODEL:
            part = file
    fill(tmp_path / "incoming", {f"{part.sha256}.part": b"rotten" * 1000})

    fetch_all(intake_at(tmp_path), folder_machine[0], FILES)

    assert at_home(tmp_path) == expected(FILES)


def test_a_file_that_never_is_what_was_said_is_named_and_the_rest_comes(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    shell, folder = folder_machine
    fill(folder, {MODEL: bytes(len(FILES[MODEL])), "output/model/config.json": b"longer than said"})
    (folder / "metrics.json").unlink()

    progress = fetch_all(intake_at(tmp_path), shell, FILES)

    assert set(at_home(tmp_path)) == {"exit.json", "empty"}
    assert len(progress.failed) == 3
    assert progress.done_files == 2
    assert list((tmp_path / "incoming").iterdir()) == []


def test_more_bytes_than_declared_are_never_written(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    def flood(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from pieces
        while True:
            yield bytes(1_000_000)

    progress = fetch_all(intake_at(tmp_path), Faulty(folder_machine[0], flood), FILES)

    assert len(progress.failed) == 1
    assert "More bytes" in progress.failed[0]
    assert sum(path.stat().st_size for path in (tmp_path / "incoming").iterdir()) == 0


def test_links_planted_at_the_destination_are_not_followed(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    fill(outside, {"config.json": b"mine", "victim": b"mine"})
    home = tmp_path / "home"
    (home / "artifacts").mkdir(parents=True)
    (home / "artifacts" / "model").symlink_to(outside)
    (home / "artifacts" / "metrics.json").symlink_to(outside / "victim")
    (home / "artifacts" / "exit.json").mkdir()

    progress = fetch_all(intake_at(home), folder_machine[0], FILES)

    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {
        "config.json": b"mine", "victim": b"mine",
    }  # fmt: skip
    assert (home / "artifacts" / "metrics.json").read_bytes() == FILES["metrics.json"]
    assert not (home / "artifacts" / "metrics.json").is_symlink()
    assert len(progress.failed) == 3
    assert all("in the way" in sentence for sentence in progress.failed)


@pytest.mark.parametrize("plant", ["link", "hard", "pipe"])
def test_what_is_planted_in_the_parts_place_is_removed(
    folder_machine: FolderMachine, tmp_path: Path, plant: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    home = tmp_path / "home"
    (home / "incoming").mkdir(parents=True)
    for file in manifest_of(FILES).files:
        part = home / "incoming" / f"{file.sha256}.part"
        if plant == "link":
            part.symlink_to(victim)
        elif plant == "hard":
            part.hardlink_to(victim)
        else:
            os.mkfifo(part)

    fetch_all(intake_at(home), folder_machine[0], FILES)

    assert at_home(home) == expected(FILES)
    assert victim.read_bytes() == b"mine"


def test_one_call_is_bounded_in_time_and_goes_on_without_asking_twice(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    clock = FakeClock()

    def slowly(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            clock.advance(len(piece) / 400_000)
            yield piece

    slow = Faulty(folder_machine[0], slowly)
    intake = intake_at(tmp_path, clock)
    calls, longest_s, done_bytes = 0, 0.0, -1
    while True:
        before_s = clock.awake_s()
        progress = intake.fetch_some(slow, manifest_of(FILES).files, budget_s=2.0)
        calls, longest_s = calls + 1, max(longest_s, clock.awake_s() - before_s)
        assert progress.done_bytes > done_bytes
        done_bytes = progress.done_bytes
        if progress.finished:
            break

    assert calls > 2
    assert longest_s < 5
    assert len(set(slow.pulled)) == len(slow.pulled)
    assert at_home(tmp_path) == expected(FILES)


class Dripping(FolderShell):
    """A machine that sends one byte in 50 seconds."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__(folder)
        self._clock = clock

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        for at in range(offset, size_bytes):
            self._clock.advance(50)
            yield from super().pull(path, at, at + 1)


def test_a_machine_that_drips_is_left_after_a_moment_and_what_came_is_kept(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    shell, files = Dripping(tmp_path / "machine", clock), {"output/a": b"abcd" * 500}
    fill(tmp_path / "machine", files)
    intake, began_s = intake_at(tmp_path / "home", clock), clock.now_s()

    first = intake.fetch_some(shell, manifest_of(files).files)
    took_s = clock.now_s() - began_s
    second = intake.fetch_some(shell, manifest_of(files).files)
    intake.close()

    assert took_s < 120
    assert 0 < first.done_bytes < second.done_bytes


class Timed(FolderShell):
    """Remembers how long each command may take."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.limits_s: list[float] = []

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        self.limits_s.append(timeout_s)
        return super().run(command, stdin=stdin, timeout_s=timeout_s)


def test_small_files_that_come_together_have_the_time_of_a_slow_line(tmp_path: Path) -> None:
    shell = Timed(tmp_path / "machine")
    files = {f"output/{n}": bytes([n]) * 90_000 for n in range(10)}
    fill(tmp_path / "machine", files)

    fetch_all(intake_at(tmp_path / "home"), shell, files)

    assert shell.limits_s == [60 + 45]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_what_there_is_no_room_for_is_not_begun_and_all_else_comes_home(
    folder_machine: FolderMachine, small_disk: Path
) -> None:
    intake = intake_at(small_disk)
    watched = Faulty(folder_machine[0], lambda _, pieces: pieces)
    (small_disk / "ballast").write_bytes(bytes(6 << 20))

    for _ in range(2):
        with pytest.raises(HomeDiskFull, match="no room at home for 'model"):
            fetch_all(intake, watched, FILES)

    assert at_home(small_disk) == {k: v for k, v in expected(FILES).items() if k != home_of(MODEL)}
    assert MODEL not in [path for path, _ in watched.pulled]
    (small_disk / "ballast").unlink()
    fetch_all(intake, watched, FILES)
    assert at_home(small_disk) == expected(FILES)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_something_else_fills_is_said_and_the_rest_comes_when_there_is_room(
    folder_machine: FolderMachine, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"

    def fill_up(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            if number == 1:
                with contextlib.suppress(OSError):
                    ballast.write_bytes(bytes(32 << 20))
            yield piece

    intake = intake_at(small_disk)
    with pytest.raises(HomeDiskFull, match="disk is full"):
        fetch_all(intake, Faulty(folder_machine[0], fill_up), FILES)
    ballast.unlink()
    watched = Faulty(folder_machine[0], lambda _, pieces: pieces)
    fetch_all(intake, watched, FILES)

    assert at_home(small_disk) == expected(FILES)
    assert all(offset > 0 for path, offset in watched.pulled if path == MODEL)


def test_small_files_come_together_and_a_bad_one_among_them_costs_only_itself(
    filled: Shell, machine: Machine, tmp_path: Path
) -> None:
    small = {f"output/part {number}'s": b"x" * number for number in range(500)}
    fill(machine.folder, small)
    fill(machine.folder, {"output/part 7's": b"not as it was"})
    watched = Faulty(filled, lambda _, pieces: pieces)

    progress = fetch_all(intake_at(tmp_path), watched, small)

    assert progress.done_files == 499
    assert len(progress.failed) == 1
    assert at_home(tmp_path) == {k: v for k, v in expected(small).items() if k != "part 7's"}
    assert len(watched.pulled) < 220


def test_fetch_brings_one_file_or_says_why_not(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    shell, folder = folder_machine
    intake = intake_at(tmp_path)
    file = manifest_of(FILES).files[0]
    intake.fetch(shell, file)
    assert (tmp_path / "artifacts" / file.home_path).exists()

    fill(folder, {"wrong": b"b"})
    with pytest.raises(HostileArtifact, match="'wrong'"):
        intake.fetch(shell, manifest_of({"wrong": b"a"}).files[0])
    intake.close()


def test_the_index_is_one_json_object_a_line(folder_machine: FolderMachine, tmp_path: Path) -> None:
    fetch_all(intake_at(tmp_path), folder_machine[0], FILES)

    lines = [line for line in (tmp_path / "verified.jsonl").read_text().splitlines() if line]
    assert [json.loads(line)["path"] for line in lines] == [home_of(path) for path in FILES]


def test_a_file_is_durable_before_the_next_one_is_begun(
    folder_machine: FolderMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes before its name, its name before anything else: by the calls that the disk sees."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename
    home = tmp_path / "home"
    files = {"output/model/a": b"a" * 2_000_000, "output/model/b": b"b" * 2_000_000}
    fill(folder_machine[1], files)

    def watched_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - of a descriptor
        calls.append("bytes" if path.suffix == ".part" else path.relative_to(tmp_path).as_posix())
        fsync(descriptor)

    def watched_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        calls.append(f"name {target}")
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    fetch_all(intake_at(home), folder_machine[0], files)

    each = ["bytes", "name {}", "home/artifacts/model"]
    order = [one for one in calls if one in each or one.startswith("name")]
    assert order == [step.format(name) for name in "ab" for step in each]
    # Folders that were made on the way: each name in the folder above it.
    assert {".", "home", "home/artifacts"} <= set(calls)
    assert calls.index("home/artifacts") < calls.index("name a")


def test_the_machine_hears_of_each_group_of_small_files_that_somebody_fetches(
    folder_machine: FolderMachine, tmp_path: Path
) -> None:
    small = {f"output/{number}": b"x" * number for number in range(500)}
    fill(folder_machine[1], small)
    heard: list[int] = []

    class Watched(Faulty):
        def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
            reply = super().run(command, stdin=stdin, timeout_s=timeout_s)
            heard.append((folder_machine[1] / "sent").stat().st_mtime_ns)
            return reply

    shell = Watched(folder_machine[0], lambda _, pieces: pieces)
    assert fetch_all(intake_at(tmp_path), shell, small).finished

    assert len(heard) == 3
    assert shell.pulled == []
