"""Brings files of a machine into one folder at home: verified and durable, one after the other."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.artifacts.disk import (
    ROOM_HINT,
    disk_errors,
    folder_below,
    open_regular,
    room_bytes,
)
from orchestrator.artifacts.manifest import ManifestFile
from orchestrator.clock import Clock
from orchestrator.errors import AgentFault, ArtifactsError, HomeDiskFull, HostileArtifact
from orchestrator.remote.child import SLOWEST_BYTES_PER_S
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell
from orchestrator.remote.transfer import STALL_S

BUDGET_S = 5.0
_LONGEST_LOOK_S = 30.0  # at one range, which was chosen to take `BUDGET_S`
_FIRST_RANGE_BYTES = 1024 * 1024
_LONGEST_RANGE_BYTES = 256 * 1024 * 1024
_GROUP_BYTES = 1024 * 1024
_GROUP_FILES = 200
_HASH_BYTES = 1024 * 1024
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a list of files is home; `failed` has one sentence per file that cannot be had."""

    done_files: int
    done_bytes: int
    left_files: int
    left_bytes: int
    failed: tuple[str, ...] = ()
    fetched_bytes: int = field(default=0, compare=False)  # by this call

    @property
    def finished(self) -> bool:
        """Nothing is left to try."""
        return self.left_files == 0

    def with_failed(self, more: Iterable[str]) -> Progress:
        """The same, with more sentences of what cannot be had."""
        return replace(self, failed=(*more, *self.failed))


class Intake:
    """One folder that fills with verified files.

    `scratch` holds unfinished files, named by the content that they shall have, so that any
    later process goes on with them; `index` names the finished ones. All three lie on one disk.
    """

    def __init__(self, folder: Path, scratch: Path, index: Path, clock: Clock) -> None:
        self._folder = folder
        self._scratch = scratch
        self._index = index
        self._clock = clock
        self._recorded: dict[str, tuple[int, str]] | None = None
        self._home: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._part: _Part | None = None
        self._fetched_bytes = 0

    def missing(self, files: Iterable[ManifestFile]) -> list[ManifestFile]:
        """The files that are not home and verified yet."""
        return [file for file in files if not self._is_home(file)]

    def fetch_some(
        self, shell: Shell, files: Sequence[ManifestFile], *, budget_s: float = BUDGET_S
    ) -> Progress:
        """Go on with `files` for about `budget_s`; call again until `finished`.

        A file that cannot be had is tried once more from its start, then left out by this
        object. Raises: Unreachable (go on with another shell); HomeDiskFull, once all that there
        is room for is home.
        """
        until_s = self._clock.awake_s() + budget_s
        self._fetched_bytes = 0
        full: HomeDiskFull | None = None
        wanted = [each for each in self.missing(files) if each.home_path not in self._failed]
        for group in _groups(wanted):
            if len(group) > 1 and self._clock.awake_s() < until_s:
                self._fetch_group(shell, group)
            for file in self.missing(group):
                try:
                    if not self._advance(shell, file, until_s):
                        return self._progress(files)
                except HomeDiskFull as error:
                    full = full or error
                except (HostileArtifact, AgentFault) as error:
                    self._drop_part()
                    self._failed[file.home_path] = error.problem
        if full is not None:
            raise full
        return self._progress(files)

    def fetch(self, shell: Shell, file: ManifestFile) -> None:
        """Bring one file home. Raises: ArtifactsError, AgentFault, Unreachable."""
        if not self._is_home(file):
            self._advance(shell, file, until_s=float("inf"))

    def adopt(self, file: ManifestFile, verified: Path) -> None:
        """Give a file that is verified at home already a second name, where the disk can."""
        parent, _, name = file.home_path.rpartition("/")
        try:
            with folder_below(self._folder, parent) as folder:
                os.link(verified, name, dst_dir_fd=folder, follow_symlinks=False)
                os.fsync(folder)
        except OSError:
            return  # it is fetched like any other
        self._record(file)

    def close(self) -> None:
        """Let go of an unfinished file; what is on disk of it is used again."""
        part, self._part = self._part, None
        if part is not None:
            part.close()

    def _fetch_group(self, shell: Shell, group: Sequence[ManifestFile]) -> None:
        """Small files in one answer. What is not as said is left to be fetched by itself."""
        size_bytes = sum(file.size_bytes for file in group)
        if size_bytes > self._room_bytes():
            return
        names = b"".join(f"./{file.path}".encode() + b"\0" for file in group)
        # Many small ones take long to be made durable here: the machine's hold begins anew.
        command = f"touch {protocol.SENT_FILE}; xargs -0 cat --"
        limit_s = STALL_S + size_bytes / SLOWEST_BYTES_PER_S
        stdout = memoryview(shell.run(command, stdin=names, timeout_s=limit_s).stdout)
        for file in group:
            data, stdout = stdout[: file.size_bytes], stdout[file.size_bytes :]
            if hashlib.sha256(data).hexdigest() == file.sha256:
                with contextlib.suppress(HostileArtifact, HomeDiskFull):
                    part = self._part_of(file, fresh=True)
                    with disk_errors(file.path):
                        part.append(data)
                    self._fetched_bytes += len(data)
                    self._install(part, file)

    def _advance(self, shell: Shell, file: ManifestFile, until_s: float) -> bool:
        """Go on with one file; false when the time was over first."""
        if not self._is_part_of(file) and self._is_here_already(file):
            self._record(file)
            return True
        for attempt in (1, 2):
            part = self._part_of(file, fresh=attempt == 2)
            self._check_room(file, part)
            range_bytes = _FIRST_RANGE_BYTES
            while part.length < file.size_bytes:
                began_s = self._clock.awake_s()
                if began_s >= until_s:
                    return False
                got_bytes = self._fetch_range(shell, file, part, range_bytes)
                if not got_bytes:
                    break
                now_s = self._clock.awake_s()
                range_bytes = _next_range(got_bytes, now_s - began_s, until_s - now_s)
            if part.length == file.size_bytes and part.sha256() == file.sha256:
                self._install(part, file)
                return True
        raise HostileArtifact(f"{shown(file.path)} is not what the machine's list says, twice.")

    def _fetch_range(self, shell: Shell, file: ManifestFile, part: _Part, range_bytes: int) -> int:
        before, began_s = part.length, self._clock.awake_s()
        end = min(file.size_bytes, before + range_bytes)
        for data in shell.pull(file.path, before, end):
            if part.length + len(data) > end:
                raise HostileArtifact(f"More bytes of {shown(file.path)} came than asked for.")
            with disk_errors(file.path):
                part.append(data)
            if self._clock.awake_s() - began_s > _LONGEST_LOOK_S:
                break  # what is here stays here, and whoever asked has money and wish to look at
        self._fetched_bytes += part.length - before
        return part.length - before

    def _check_room(self, file: ManifestFile, part: _Part) -> None:
        """Raises: HomeDiskFull before anything is begun that would fill the disk."""
        left_bytes, room_bytes = file.size_bytes - part.length, self._room_bytes()
        if left_bytes > room_bytes:
            raise HomeDiskFull(
                f"there is no room at home for {shown(file.home_path)}: it needs "
                f"{left_bytes / 2**20:.1f} MiB, and {room_bytes / 2**20:.1f} MiB can be had",
                hint=ROOM_HINT,
            )

    def _room_bytes(self) -> int:
        """What may still be written: the run's own records need room too."""
        with disk_errors(self._folder.name), folder_below(self._scratch, "") as folder:
            return room_bytes(folder)

    def _part_of(self, file: ManifestFile, *, fresh: bool) -> _Part:
        part = self._part
        if part is None or not self._is_part_of(file):
            self.close()
            with disk_errors(file.path), folder_below(self._scratch, "") as folder:
                part = self._part = _Part(_part_name(file), folder)
        if fresh or part.length > file.size_bytes:
            with disk_errors(file.path):
                part.restart()
        return part

    def _is_part_of(self, file: ManifestFile) -> bool:
        return self._part is not None and self._part.name == _part_name(file)

    def _install(self, part: _Part, file: ManifestFile) -> None:
        parent, _, name = file.home_path.rpartition("/")
        with (
            disk_errors(file.home_path),
            folder_below(self._folder, parent) as folder,
            folder_below(self._scratch, "") as scratch,
        ):
            part.sync()
            os.rename(part.name, name, src_dir_fd=scratch, dst_dir_fd=folder)
            os.fsync(folder)
        self.close()
        self._record(file)

    def _drop_part(self) -> None:
        part = self._part
        self.close()
        if part is not None:
            with contextlib.suppress(OSError), folder_below(self._scratch, "") as folder:
                os.unlink(part.name, dir_fd=folder)

    def _is_home(self, file: ManifestFile) -> bool:
        if self._home.get(file.home_path) == file.sha256:
            return True
        if self._recorded is None:
            self._recorded = _read_index(self._index)
        if self._recorded.get(file.home_path) != (file.size_bytes, file.sha256):
            return False
        try:
            status = (self._folder / file.home_path).lstat()
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
            return False
        self._home[file.home_path] = file.sha256
        return True

    def _is_here_already(self, file: ManifestFile) -> bool:
        """Whether a process died between the file's last rename and its line in the index."""
        parent, _, name = file.home_path.rpartition("/")
        with disk_errors(file.home_path), folder_below(self._folder, parent) as folder:
            try:
                descriptor = os.open(name, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                    return False
                raise
            with os.fdopen(descriptor, "rb") as opened:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
                    return False
                return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256

    def _record(self, file: ManifestFile) -> None:
        # Not synced: a lost line costs one more reading of the file.
        line = {"path": file.home_path, "size_bytes": file.size_bytes, "sha256": file.sha256}
        with disk_errors(file.home_path), folder_below(self._index.parent, "") as folder:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            descriptor = open_regular(self._index.name, flags, folder)
            with os.fdopen(descriptor, "ab", buffering=0) as index:
                index.write(b"\n" + json.dumps(line).encode() + b"\n")
        self._home[file.home_path] = file.sha256

    def _progress(self, files: Iterable[ManifestFile]) -> Progress:
        done_files = done_bytes = left_files = left_bytes = 0
        for file in files:
            if self._home.get(file.home_path) == file.sha256:
                done_files, done_bytes = done_files + 1, done_bytes + file.size_bytes
            elif file.home_path not in self._failed:
                left_files, left_bytes = left_files + 1, left_bytes + file.size_bytes
        part_bytes = min(self._part.length, left_bytes) if self._part else 0
        return Progress(
            done_files,
            done_bytes + part_bytes,
            left_files,
            left_bytes - part_bytes,
            tuple(self._failed.values()),
            self._fetched_bytes,
        )


class _Part:
    """An unfinished file: its descriptor (locked), length, and hash so far."""

    def __init__(self, name: str, folder: int) -> None:
        self.name = name
        self.length = 0
        self._hash = hashlib.sha256()
        self._descriptor = open_regular(name, os.O_RDWR | os.O_CREAT, folder)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise ArtifactsError("Another process is fetching the same file.") from error
        while data := os.read(self._descriptor, _HASH_BYTES):
            self._hash.update(data)
            self.length += len(data)

    def append(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._hash.update(view[:written])
            self.length += written
            view = view[written:]

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.length = 0

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def _groups(files: Iterable[ManifestFile]) -> Iterator[list[ManifestFile]]:
    """The files in their order; neighbours that are small come together."""
    group: list[ManifestFile] = []
    size_bytes = 0
    for file in files:
        size_bytes += file.size_bytes
        if size_bytes > _GROUP_BYTES or len(group) == _GROUP_FILES:
            if group:
                yield group
            group, size_bytes = [], file.size_bytes
        group.append(file)
    if group:
        yield group


def _part_name(file: ManifestFile) -> str:
    return f"{file.sha256}.part"


def _next_range(got_bytes: int, took_s: float, left_s: float) -> int:
    """As many bytes as the time left should carry, at the pace just seen."""
    if took_s <= 0:
        return _LONGEST_RANGE_BYTES
    wanted = got_bytes / took_s * max(0.0, min(left_s, BUDGET_S))
    return int(min(max(wanted, _FIRST_RANGE_BYTES), _LONGEST_RANGE_BYTES))


def _read_index(path: Path) -> dict[str, tuple[int, str]]:
    recorded: dict[str, tuple[int, str]] = {}
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return recorded
    for line in text.splitlines():
        try:
            record = json.loads(line)
            recorded[record["path"]] = (record["size_bytes"], record["sha256"])
        except (ValueError, KeyError, TypeError):
            continue
    return recorded
