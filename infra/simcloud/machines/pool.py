"""Where machines' disks and their shared package cache lie: one folder, one mount.

Environments are then hard links into the cache, which makes a second demo as fast as a warm one.
The folder outlives a simulated cloud, its disks do not: what a killed one left is swept later.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

FOLDER_SETTING = "GPULEASE_SIMCLOUD_UV_CACHE"
CACHE = "uv"
VOLUME = "workspace"
_OWN_PREFIX = "sim-"
_OWNER = "owner"


class Pool:
    """The disks of one simulated cloud."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` None: as the environment says, else in the user's cache folder."""
        named = os.environ.get(FOLDER_SETTING)
        self.folder = (folder or Path(named or user_cache_path("gpulease-simcloud"))).resolve()
        (self.folder / CACHE).mkdir(parents=True, exist_ok=True)
        self._sweep()
        self.own = Path(tempfile.mkdtemp(prefix=_OWN_PREFIX, dir=self.folder))
        self.own.chmod(0o711)
        self._lock = _try_lock(self.own)
        self._wiped = 0
        self._janitor = ThreadPoolExecutor(1, "simcloud-janitor")

    def disk(self, machine_id: str) -> Path:
        """A machine's disk, made when it is not there."""
        path = self.own / machine_id
        for name in ("root", VOLUME):
            (path / name).mkdir(parents=True, exist_ok=True)
        (path / "root").chmod(0o700)
        return path

    def wipe(self, machine_id: str, *, keep_volume: bool = False) -> None:
        """Remove a disk, with or without its volume: out of sight at once, freed soon."""
        path = self.own / machine_id
        self._wiped += 1
        gone = self.own / f"gone-{self._wiped}"
        with suppress(FileNotFoundError):
            path.rename(gone)
            if keep_volume:
                path.mkdir()
                (gone / VOLUME).rename(path / VOLUME)
            self._janitor.submit(_remove, gone)

    def close(self) -> None:
        """Remove every disk; the cache stays."""
        self._janitor.shutdown()
        _remove(self.own)
        if self._lock:
            self._lock.close()

    def _sweep(self) -> None:
        for left in self.folder.glob(f"{_OWN_PREFIX}*"):
            # A living cloud holds its lock; one that is being made has none yet and is empty.
            if (left / _OWNER).exists() and (lock := _try_lock(left)):
                _remove(left)
                lock.close()


def _try_lock(folder: Path) -> IO[str] | None:
    try:
        file = (folder / _OWNER).open("w")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _remove(folder: Path) -> None:
    # A program may have left folders that nobody may write to; root does not care.
    shutil.rmtree(folder, ignore_errors=True)
