"""Checkpoints at home: only complete ones are visible, the two newest are kept."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.artifacts.disk import disk_errors, sync_folder, write_durably
from orchestrator.artifacts.document import read_document
from orchestrator.artifacts.intake import Intake, Progress
from orchestrator.artifacts.manifest import CheckpointManifest, parse_checkpoint
from orchestrator.clock import Clock
from orchestrator.errors import HostileArtifact, LostCheckpoint
from orchestrator.remote.paths import path_problem, shown
from orchestrator.remote.shell import Shell

KEPT = 2
_DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"step-([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint at home: `complete.json` and the files that it lists."""

    step: int
    folder: Path


class CheckpointStore:
    """The folder of a run's checkpoints at home."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._current: _Arriving | None = None

    def complete(self) -> list[Checkpoint]:
        """Complete checkpoints, the newest first."""
        found = []
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match and (path / protocol.CHECKPOINT_COMPLETE).is_file():
                    found.append(Checkpoint(int(match[1]), path))
        return sorted(found, key=lambda each: each.step, reverse=True)

    def verified(self) -> dict[tuple[str, int], Path]:
        """Where content lies that came home with a checkpoint, by sha256 and size."""
        found: dict[tuple[str, int], Path] = {}
        for checkpoint in self.complete():
            path = f"{protocol.CHECKPOINTS_DIR}/{checkpoint.folder.name}"
            document = _document_at(checkpoint.folder)
            with contextlib.suppress(HostileArtifact, OSError):
                for file in parse_checkpoint(document, path, limit_bytes=sys.maxsize).files:
                    source = checkpoint.folder / file.home_path
                    if source.lstat().st_size == file.size_bytes:
                        found[file.sha256, file.size_bytes] = source
        return found

    def fetch_some(
        self, shell: Shell, path: str, *, limit_bytes: int, budget_s: float
    ) -> Checkpoint | Progress:
        """Go on with one checkpoint; the arriving one is dropped when another is asked for.

        Raises: LostCheckpoint when it cannot be had from the machine; ArtifactsError when home
        cannot take it now: what has arrived stays, and another call goes on.
        """
        manifest = _read_complete(shell, path, limit_bytes)
        target = self._folder / f"step-{manifest.step}"
        if _document_at(target) == manifest.document:
            return Checkpoint(manifest.step, target)
        if self._current is None or self._current.manifest != manifest:
            self.close()
            self._current = _Arriving(manifest, self._folder, self._clock)
        arriving = self._current
        progress = arriving.intake.fetch_some(shell, manifest.files, budget_s=budget_s)
        if progress.failed:
            self.close()
            _remove(arriving.folder)
            raise LostCheckpoint(f"The checkpoint {shown(path)} is lost: {progress.failed[0]}")
        if not progress.finished:
            return progress
        self.close()
        self._publish(arriving, target)
        return Checkpoint(manifest.step, target)

    def close(self) -> None:
        """Let go of the arriving checkpoint; what is on disk of it is used again."""
        current, self._current = self._current, None
        if current is not None:
            current.intake.close()

    def _publish(self, arriving: _Arriving, target: Path) -> None:
        write_durably(arriving.files, protocol.CHECKPOINT_COMPLETE, arriving.manifest.document)
        with disk_errors(target.name):
            if target.is_symlink() or target.exists():
                target.rename(self._folder / f".replaced-{target.name}")
            arriving.files.rename(target)
            sync_folder(self._folder)
        self._prune()

    def _prune(self) -> None:
        kept = {checkpoint.folder for checkpoint in self.complete()[:KEPT]}
        for path in list(self._folder.iterdir()):
            if path not in kept:
                _remove(path)


class _Arriving:
    """A checkpoint on its way, in a folder that no one takes for a checkpoint."""

    def __init__(self, manifest: CheckpointManifest, home: Path, clock: Clock) -> None:
        self.manifest = manifest
        self.folder = home / f".arriving-{manifest.step}"
        self.files = self.folder / "files"
        self.intake = Intake(
            self.files, self.folder / "incoming", self.folder / "verified.jsonl", clock
        )
        with disk_errors(self.folder.name):
            self.files.mkdir(parents=True, exist_ok=True)


def _read_complete(shell: Shell, path: str, limit_bytes: int) -> CheckpointManifest:
    if problem := path_problem(path):
        raise LostCheckpoint(f"A checkpoint at {shown(path)} is refused: it {problem}.")
    name = f"{path}/{protocol.CHECKPOINT_COMPLETE}"
    try:
        document = read_document(shell, name, _DOCUMENT_LIMIT_BYTES)
        if not document:
            raise LostCheckpoint(f"There is no complete checkpoint {shown(path)} on the machine.")
        return parse_checkpoint(document, path, limit_bytes=limit_bytes)
    except HostileArtifact as error:
        raise LostCheckpoint(error.problem) from error


def _document_at(folder: Path) -> bytes:
    try:
        return (folder / protocol.CHECKPOINT_COMPLETE).read_bytes()
    except OSError:
        return b""


def _remove(path: Path) -> None:
    """Remove what is no checkpoint any more; what stays is tried again at the next one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
