"""One run's folder at home: its artifacts and checkpoints, as they arrive.

artifacts/       what the run gives back
checkpoints/     `step-N/`, complete ones only, the two newest
incoming/        unfinished files
verified.jsonl   what of `artifacts/` is whole
manifest.json    what the machine says that it gives back
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.artifacts.checkpoints import Checkpoint, CheckpointStore
from orchestrator.artifacts.disk import write_durably
from orchestrator.artifacts.document import read_document
from orchestrator.artifacts.intake import BUDGET_S, Intake, Progress
from orchestrator.artifacts.manifest import (
    DOCUMENT_LIMIT_BYTES,
    Manifest,
    ManifestFile,
    parse_manifest,
)
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import HomeDiskFull, HostileArtifact
from orchestrator.remote.shell import Shell

ARTIFACTS_DIR = "artifacts"
_MANIFEST_FILE = "manifest.json"
_WORTH_ASKING_BYTES = 256 * 1024  # a longer list is not read again at each look


class HomeStore:
    """Where one run's results come home. Keep it between calls: it remembers how far it is."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.folder = folder
        self._artifacts = Intake(
            self.artifacts_dir, folder / "incoming", folder / "verified.jsonl", clock
        )
        self._checkpoints = CheckpointStore(folder / "checkpoints", clock)
        self._manifest = b""
        self._listed: tuple[bytes, int, Manifest] | None = None

    @property
    def artifacts_dir(self) -> Path:
        """What the person is given."""
        return self.folder / ARTIFACTS_DIR

    def disk_bytes(self) -> int:
        """Size of the disk that this lies on."""
        existing = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        return shutil.disk_usage(existing).total

    def read_manifest(self, shell: Shell, path: str, *, limit_bytes: int) -> Manifest:
        """The machine's MANIFEST; files beyond `limit_bytes` in total are refused.

        Raises: Unreachable, HostileArtifact (also when there is none).
        """
        if self._listed is not None and self._listed[1] == limit_bytes:
            known, _, manifest = self._listed
            if len(known) > _WORTH_ASKING_BYTES and _is_there_still(shell, path, known):
                return manifest
        document = read_document(shell, path, DOCUMENT_LIMIT_BYTES)
        manifest = parse_manifest(document, limit_bytes=limit_bytes)
        self._listed = (document, limit_bytes, manifest)
        if document != self._manifest:
            with contextlib.suppress(HomeDiskFull):  # it only names what a lost machine had
                write_durably(self.folder, _MANIFEST_FILE, document)
                self._manifest = document
        return manifest

    def known_manifest(self, *, limit_bytes: int) -> Manifest | None:
        """What the machine listed when it was last asked, by this process or an earlier one."""
        with contextlib.suppress(OSError, HostileArtifact):
            document = (self.folder / _MANIFEST_FILE).read_bytes()
            return parse_manifest(document, limit_bytes=limit_bytes)
        return None

    def plan_pull(self, manifest: Manifest) -> list[ManifestFile]:
        """The files that are not home and verified yet, in the order of their pull."""
        return self._artifacts.missing(manifest.files)

    def fetch(self, shell: Shell, file: ManifestFile) -> None:
        """Bring one file home, however long it takes. Raises: ArtifactsError, Unreachable."""
        self._artifacts.fetch(shell, file)

    def fetch_some(
        self, shell: Shell, manifest: Manifest, *, budget_s: float = BUDGET_S
    ) -> Progress:
        """Go on with the artifacts for about `budget_s`; call again until `finished`.

        `failed` names what cannot be had, refused files included.
        Raises: Unreachable (go on with another shell), HomeDiskFull.
        """
        self._adopt_checkpoints(manifest)
        progress = self._artifacts.fetch_some(shell, manifest.files, budget_s=budget_s)
        return progress.with_failed(manifest.refused)

    def _adopt_checkpoints(self, manifest: Manifest) -> None:
        """What came home with a checkpoint is not paid for twice."""
        wanted = [file for file in self.plan_pull(manifest) if file.kind == "checkpoint"]
        verified = self._checkpoints.verified() if wanted else {}
        for file in wanted:
            if path := verified.get((file.sha256, file.size_bytes)):
                self._artifacts.adopt(file, path)

    def fetch_checkpoint(
        self, shell: Shell, path: str, *, limit_bytes: int, budget_s: float = BUDGET_S
    ) -> Checkpoint | Progress:
        """Go on with a complete checkpoint of the machine (`checkpoints/step-40`).

        Returns: the checkpoint once it is home, else how far it is; call again.
        Raises: Unreachable; LostCheckpoint when it cannot be had: it was removed on the machine
        meanwhile, or is not what it claims to be; ArtifactsError when home cannot take it now.
        """
        return self._checkpoints.fetch_some(shell, path, limit_bytes=limit_bytes, budget_s=budget_s)

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Complete checkpoints at home, the newest first."""
        return self._checkpoints.complete()

    def close(self) -> None:
        """Let go of unfinished files; what is on disk of them is used again."""
        self._artifacts.close()
        self._checkpoints.close()


def _is_there_still(shell: Shell, path: str, document: bytes) -> bool:
    """Whether the machine's list is the one that is known; it is told that it is still fetched."""
    command = f"touch {protocol.SENT_FILE}; sha256sum -- {shlex.quote(path)}"
    said = shell.run(command).stdout.partition(b" ")[0]
    return said == hashlib.sha256(document).hexdigest().encode()
