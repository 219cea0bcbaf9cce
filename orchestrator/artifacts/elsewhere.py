"""Brings what a run left in a bucket to this computer, which need not have submitted it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.artifacts.bucket import Bucket, BucketShell
from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.artifacts.intake import Intake, Progress
from orchestrator.artifacts.local import HomeStore
from orchestrator.artifacts.log import LogFile
from orchestrator.artifacts.manifest import parse_manifest
from orchestrator.artifacts.s3 import S3
from orchestrator.artifacts.stored import Index
from orchestrator.clock import Clock
from orchestrator.errors import ArtifactsError, UsageError
from orchestrator.remote.paths import shown
from orchestrator.spec.place import Place, parse_place

_MACHINE = re.compile(r"([0-9]{2,4})/" + re.escape(protocol.INDEX_FILE))
_RUN = re.compile(r"([^/]{1,100})/[0-9]{2,4}/" + re.escape(protocol.INDEX_FILE))
_MOST_NAMED = 8
SCRATCH = ".gpulease-pull"
_NO_LIMIT_BYTES = 1 << 62  # home's own disk is the limit


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came, and one sentence for each thing that did not."""

    files: tuple[tuple[str, int, str], ...]  # path, bytes, sha256
    missing: tuple[str, ...]
    complete: bool  # the machine had said that everything is there


def pull_at(s3: S3, address: str, folder: Path, clock: Clock) -> Pulled:
    """What lies at an address, `s3://bucket/prefix/NAME-ID`, brought into `folder`.

    Raises: UsageError when nothing of a run lies there, and as `pull`.
    """
    try:
        place = parse_place(address)
    except ValueError as error:
        raise UsageError(f"{shown(address)} {error}") from error
    (bucket, index), *earlier = find_machines(s3, place)
    return pull(bucket, index, folder, clock, earlier=earlier)


def find_machines(s3: S3, run: Place) -> list[tuple[Bucket, Index]]:
    """What the machines of a run left in a bucket, the newest first.

    Raises: UsageError when there is nothing; BucketRefused, BucketDown, HostileArtifact.
    """
    keys = s3.sizes(run)
    numbers = [match[1] for key in keys if (match := _MACHINE.fullmatch(key))]
    buckets = [Bucket(s3, run.below(number)) for number in sorted(numbers, key=int, reverse=True)]
    found = [(bucket, index) for bucket in buckets if (index := bucket.index()) is not None]
    if found:
        return found
    runs = sorted({match[1] for key in keys if (match := _RUN.fullmatch(key))})
    there = ", ".join(shown(f"{run}/{name}") for name in runs[:_MOST_NAMED])
    more = f" and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
    raise UsageError(
        f"{run} holds no results of one run",
        hint=f"there are {there}{more}"
        if runs
        else "the receipt says where they are: s3://…/NAME-ID",
    )


def pull(
    bucket: Bucket,
    index: Index,
    folder: Path,
    clock: Clock,
    *,
    earlier: Sequence[tuple[Bucket, Index]] = (),
    report: Callable[[Progress], None] = lambda progress: None,
) -> Pulled:
    """Fetch every artifact into `folder`, each verified; what is there already is not again.

    Of a run that never came to its end: the newest complete checkpoint, which may be an `earlier`
    machine's, and the log as it was.
    Raises: BucketDown, HomeDiskFull; call again to go on.
    """
    shell = BucketShell(bucket, index)
    manifest = parse_manifest(index.document, limit_bytes=_NO_LIMIT_BYTES)
    scratch = folder / SCRATCH
    intake = Intake(folder, scratch / "incoming", scratch / "verified.jsonl", clock)
    try:
        while not (progress := intake.fetch_some(shell, manifest.files)).finished:
            report(progress)
        left = {file.path for file in intake.missing(manifest.files)}
    finally:
        intake.close()
    too_many = [why for _, why in manifest.left]
    missing = [*progress.failed, *manifest.refused, *too_many, *index.changed]
    files = [
        (file.home_path, file.size_bytes, file.sha256)
        for file in manifest.files
        if file.path not in left
    ]
    if not index.complete:
        missing.append("whatever was not yet in the bucket when the machine ended")
        missing += _what_there_is([(bucket, index), *earlier], folder, clock)
    if not missing:
        shutil.rmtree(scratch, ignore_errors=True)
    return Pulled(tuple(files), tuple(missing), index.complete)


def _what_there_is(left: list[tuple[Bucket, Index]], folder: Path, clock: Clock) -> list[str]:
    """The log, and the newest checkpoint, of machines that ended too early."""
    bucket, index = left[0]
    if protocol.LOG_FILE in index.files:
        log = LogFile(folder)
        while log.fetch_some(BucketShell(bucket, index)):
            pass
    for bucket, index in left:
        if path := index.newest_checkpoint():
            return _bring_checkpoint(BucketShell(bucket, index), path, folder, clock)
    return []


def _bring_checkpoint(shell: BucketShell, path: str, folder: Path, clock: Clock) -> list[str]:
    store = HomeStore(folder, clock)
    try:
        while not isinstance(
            store.fetch_checkpoint(shell, path, limit_bytes=_NO_LIMIT_BYTES), Checkpoint
        ):
            pass
    except ArtifactsError as error:
        return [error.problem]
    finally:
        store.close()
    return []
