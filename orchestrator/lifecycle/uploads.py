"""Runs whose results go to object storage: slots for the machine, and what it left there."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import replace

from orchestrator.agent.protocol import EVENTS_FILE, METRICS_FILE, SLOTS_FILE
from orchestrator.artifacts.bucket import Bucket, BucketShell, check_lasts
from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.artifacts.manifest import parse_manifest
from orchestrator.artifacts.probe import probe, write_signed
from orchestrator.artifacts.s3 import S3, Access
from orchestrator.artifacts.stored import Index
from orchestrator.errors import (
    AgentFault,
    ArtifactsError,
    BucketDown,
    BucketRefused,
    HomeDiskFull,
)
from orchestrator.lifecycle.plan import Plan
from orchestrator.lifecycle.report import fold, to_metrics
from orchestrator.lifecycle.secrets import send_secret
from orchestrator.lifecycle.world import World
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Launch, Run
from orchestrator.spec.place import parse_place

_RENEW_S = 6 * 3600.0
_RENEW_FAILING_S = 60.0
_PATIENCE_S = 600.0  # for a store that does not answer, when the machine is gone already
_EVENTS_BYTES = 1 << 20
_EVENTS_READS = 64
_LOG_READS = 64  # of a MiB; `pull` brings the whole log
_METRICS_BYTES = 1 << 20
_BYTES_PER_S = 20e6  # from a machine to a bucket: a cautious guess
_BRING_S = 600.0
_NOT_ALL = "what was not yet in the bucket when the machine ended"


def to_bucket(launch: Launch, access: Access) -> Launch:
    """What is launched for a job whose results go to a bucket; faster there than home."""
    collect_s = min(launch.collect_s, max(30.0, launch.result_bytes / _BYTES_PER_S))
    return replace(
        launch,
        collect_s=collect_s,
        bucket_endpoint=access.endpoint,
        bucket_region=access.region,
        bucket_profile=access.profile,
    )


def check_bucket(
    plan: Plan, s3: S3, now_s: float, *, write: Callable[[str, bytes], None] = write_signed
) -> None:
    """Refuse before anything is rented: rights, and URLs that would end before the machine.

    Raises: BucketRefused, BucketDown.
    """
    without_offer_s = plan.material.job.budget.max_duration_s + plan.material.launch.hold_s
    deadlines = (candidate.deadline_s for candidate in plan.candidates)
    longest_s = max(deadlines, default=without_offer_s)
    check_lasts(s3, plan.start_by_s + longest_s, now_s)
    place = parse_place(plan.material.launch.bucket)
    probe(s3, place, secrets.token_hex(4), write=write)


def send_slots(run: Run, lease: Lease, shell: Shell, bucket: Bucket, now_s: float) -> None:
    """Sign URLs until past the machine's deadline, and give them to it as a secret.

    Raises: BucketRefused, BucketDown, Unreachable.
    """
    record = bucket.slots(run.launch.result_bytes, until_s=lease.deadline_s, now_s=now_s)
    send_secret(shell, SLOTS_FILE, json.dumps(record).encode(), in_memory=lease.bills)


def renew_slots(run: Run, world: World, lease: Lease, shell: Shell) -> Run:
    """New URLs for a machine that has had its own for long, or whose bucket refuses them.

    Raises: Unreachable. A store that refuses us is told, and stops nothing else.
    """
    if not run.launch.bucket or run.upload == "complete":
        return run
    now_s = world.clock.now_s()
    if not run.slots_sent_s:
        return replace(run, slots_sent_s=now_s)
    age_s = now_s - run.slots_sent_s
    if age_s < (_RENEW_FAILING_S if run.upload == "failing" else _RENEW_S):
        return run
    try:
        if (bucket := world.bucket(run, lease)) is not None:
            send_slots(run, lease, shell, bucket, now_s)
    except (BucketRefused, BucketDown, AgentFault) as error:
        run = run.note(f"no new slots could be sent: {error.problem}")
    return replace(run, slots_sent_s=now_s)


def with_what_is_there(run: Run, bucket: Bucket, index: Index) -> Run:
    """The run with those artifacts that are proven to be in its bucket, and with its metrics.

    Raises: ArtifactsError when an object is not there as the index says, BucketDown, BucketRefused.
    """
    bucket.check(index)
    manifest = parse_manifest(index.document, limit_bytes=1 << 62)
    artifacts = tuple((file.home_path, file.size_bytes, file.sha256) for file in manifest.files)
    shell = BucketShell(bucket, index)
    metrics: dict[str, float | str] = {}
    with contextlib.suppress(ValueError, RecursionError):
        metrics = to_metrics(json.loads(shell.read(METRICS_FILE, 0, _METRICS_BYTES)))
    return replace(
        run,
        artifacts=artifacts,
        artifacts_missing=(*manifest.refused, *(why for _, why in manifest.left), *index.changed),
        metrics=metrics or run.metrics,
    )


def settle(run: Run, world: World, lease: Lease) -> tuple[Run, bool]:
    """The run with what a machine that is gone has in the bucket; whether that is all.

    Raises: as `find_left`.
    """
    run, left = find_left(run, world, lease)
    if left is None:
        return run, False
    bucket, index = left
    try:
        run = with_what_is_there(run, bucket, index)
    except (ArtifactsError, BucketRefused, BucketDown) as error:
        return replace(run.note(error.problem), artifacts_missing=(error.problem,)), False
    if index.complete:
        return replace(run, uploaded_s=index.at_s), True
    return replace(run, artifacts_missing=(*run.artifacts_missing, _NOT_ALL)), False


def has_begun(run: Run, world: World, lease: Lease, *, is_gone: bool) -> bool:
    """Whether a machine that nobody reaches has left something in its bucket.

    Then its agent was started, although nobody lived to write that down: the work goes on, or is
    done, and must not be done a second time.

    Raises: as `find_left`, of a machine that is gone. No store holds up the return of another.
    """
    if is_gone:
        return find_left(run, world, lease)[1] is not None
    with contextlib.suppress(BucketDown, BucketRefused, ArtifactsError):
        bucket = world.bucket(run, lease)
        return bucket is not None and bucket.index() is not None
    return False


def bring_checkpoint(run: Run, world: World, lease: Lease) -> bool:
    """Bring the newest checkpoint that a lost machine has in the bucket home, to go on from it.

    Returns: whether everything that is there is known. Otherwise work would be done twice.
    """
    until_s = world.clock.awake_s() + _BRING_S
    try:
        bucket = world.bucket(run, lease)
        index = bucket.index() if bucket is not None else None
        if bucket is None or index is None or not (path := index.newest_checkpoint()):
            return True
        limit_bytes, store = run.launch.disk_gib << 31, world.home_store(run)
        shell = BucketShell(bucket, index)
        while world.clock.awake_s() < until_s:
            arrived = store.fetch_checkpoint(shell, path, limit_bytes=limit_bytes)
            if isinstance(arrived, Checkpoint):
                return True
    except ArtifactsError:
        return True  # a checkpoint that is not whole is none: an earlier one may be at home
    except (BucketRefused, BucketDown):
        return False
    return False


def find_left(run: Run, world: World, lease: Lease) -> tuple[Run, tuple[Bucket, Index] | None]:
    """What a machine that is gone left in the bucket, and the run with all that it had said.

    None when there is nothing, or the store has not answered for long.

    Raises: BucketDown, BucketRefused for some minutes: a key may be given again, and what lies
        there must not be done a second time.
    """
    try:
        bucket = world.bucket(run, lease)
        index = bucket.index() if bucket is not None else None
        if bucket is None or index is None:
            return run, None
        return _catch_up(run, world, BucketShell(bucket, index)), (bucket, index)
    except (BucketDown, BucketRefused) as error:
        if world.awake_since_first_saw_s(f"{lease.key} bucket") < _PATIENCE_S:
            raise
        return run.note(error.problem), None
    except ArtifactsError as error:
        return run.note(error.problem), None


def _catch_up(run: Run, world: World, shell: BucketShell) -> Run:
    """Read on, where the machine was left, in its events and in its log."""
    for _ in range(_EVENTS_READS):
        offset = run.event_offset
        data = shell.read(EVENTS_FILE, offset, _EVENTS_BYTES)
        heard_s = run.heard_s
        run = replace(fold(run, data, world.clock.now_s())[0], heard_s=heard_s)
        if run.event_offset == offset:
            break
    with contextlib.suppress(HomeDiskFull):
        for _ in range(_LOG_READS):
            if not world.log(run).fetch_some(shell):
                break
    return run
