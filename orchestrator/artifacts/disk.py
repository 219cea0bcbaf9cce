"""Writing below a folder at home without ever following a link that lies there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import ArtifactsError, HomeDiskFull, HostileArtifact
from orchestrator.remote.paths import checked, shown

ROOM_HINT = "make room; what is already home stays, and the rest goes on from there"

KEPT_FREE_BYTES = 16 * 1024 * 1024  # for the store: without room in it nothing is recorded

# O_NONBLOCK: a named pipe that somebody put there is opened, seen and removed, not waited for.
_FILE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn the system's errors about `path` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HomeDiskFull(
                f"This computer's disk is full; {shown(path)} is not home.",
                hint=ROOM_HINT,
            ) from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY):
            raise HostileArtifact(f"Something lies in the way of {shown(path)} at home.") from error
        raise ArtifactsError(f"{shown(path)} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def folder_below(root: Path, path: str) -> Iterator[int]:
    """A descriptor of the folder `path` ("" for the root) below `root`; made when missing.

    Every new name is durable. Raises OSError (ELOOP, ENOTDIR) where a link lies in the way.
    """
    _make_durably(root)
    current = os.open(root, _FOLDER_FLAGS)
    try:
        for name in checked(path).split("/") if path else ():
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=current)
                os.fsync(current)
            below = os.open(name, _FOLDER_FLAGS, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def room_bytes(folder: int) -> int:
    """What a machine's files may still fill of the disk on which the folder lies."""
    status = os.fstatvfs(folder)
    return max(0, status.f_bavail * status.f_frsize - KEPT_FREE_BYTES)


def _make_durably(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_durably(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def open_regular(name: str, flags: int, folder: int) -> int:
    """Open a regular file in `folder` that has no second name; any other is removed first."""
    try:
        descriptor = os.open(name, flags | _FILE_FLAGS, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
    else:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return descriptor
        os.close(descriptor)
    os.unlink(name, dir_fd=folder)
    return os.open(name, flags | os.O_EXCL | _FILE_FLAGS, 0o666, dir_fd=folder)


def write_durably(root: Path, path: str, data: bytes) -> None:
    """Write a small new file below `root`; durable when this returns."""
    parent, _, name = path.rpartition("/")
    with disk_errors(path), folder_below(root, parent) as folder:
        descriptor = open_regular(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(folder)


def sync_folder(path: Path) -> None:
    """Make the names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
