"""COLLECTING: every artifact home and verified before the machine goes back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchestrator.agent.protocol import (
    AGENT,
    EVENTS_FILE,
    FETCHED_FILE,
    LOG_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
)
from orchestrator.artifacts.intake import BUDGET_S
from orchestrator.artifacts.manifest import Manifest, ManifestFile
from orchestrator.errors import (
    AgentFault,
    ArtifactsError,
    HomeDiskFull,
    HostileArtifact,
    HostKeyMismatch,
    RemoteError,
    Unreachable,
)
from orchestrator.lifecycle.agents import agent_lives, past_a_cut_log
from orchestrator.lifecycle.deadlines import MANIFEST_S, SHELL_RETRY_S
from orchestrator.lifecycle.leasing import finish
from orchestrator.lifecycle.report import fold, to_metrics
from orchestrator.lifecycle.steps.keep import keep_or_finish
from orchestrator.lifecycle.steps.over import must_end
from orchestrator.lifecycle.steps.verdict import verdict
from orchestrator.lifecycle.steps.watch import (
    give_up_on,
    lost_before_its_end,
    machine_lost,
    reach,
    result_limit,
    stays_a_stranger,
    where_it_is,
)
from orchestrator.lifecycle.uploads import renew_slots, with_what_is_there
from orchestrator.lifecycle.world import Step, Wait, World
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Outcome, Wish

_EVENTS_BYTES = 1 << 20
_METRICS_BYTES = 1 << 20
_MOST_NAMED = 50
_POLL_S = 0.2
_LOOK_S = 10.0
_HEARD_S = 60.0
_ALWAYS_KEPT = ("exit", "metrics")
_NEVER = (3, 64)  # what `conclude` says where an agent has followed, or that knows no such command
_REFUSED_S = 300.0  # and new slots have not helped


def collect(run: Run, world: World) -> Step:
    """Go on with the pull for some seconds; give back once it is whole or cannot go on."""
    lease = run.lease
    assert lease is not None
    if over := end_collected(run, world):
        return over
    try:
        return _pull(run, world, lease, reach(run, world, lease))
    except HomeDiskFull as error:
        minutes = run.launch.hold_s / 60
        note = f"not all fits at home: make room within {minutes:.0f} min, it goes on by itself"
        return Wait(5.0, error.problem, run.note(note))
    except (HostileArtifact, AgentFault) as error:
        return _give_up(run.note(error.problem), world, error.problem)
    except ArtifactsError as error:  # of this computer: the machine still has everything
        note = f"{error.problem}: once that is repaired, it goes on by itself"
        return Wait(5.0, error.problem, run.note(note))
    except RemoteError as error:
        world.drop_shell(lease)
        if isinstance(error, HostKeyMismatch):
            run = run.note(error.problem)
            if stays_a_stranger(world, lease):
                return give_up_on(_so_far(run, world), world, lease, error.problem)
        waiting = f"no contact: {error.problem}"
        return _lost(run, world, lease) or Wait(
            SHELL_RETRY_S, waiting, run.with_lease(where_it_is(world, lease))
        )


def end_collected(run: Run, world: World) -> Step | None:
    """The run's way to its end, where a person or the money wants it at once."""
    lease = run.lease
    assert lease is not None
    if run.wish is Wish.CANCEL_NOW:
        return _give_up(replace(run, stop_reason="cancelled"), world, "cancelled at once")
    if why := must_end(run, lease, world):
        seen = run if run.launch.bucket else _so_far(run, world)
        return lost_before_its_end(seen, world, lease) or _give_up(run, world, why)
    return None


def _pull(run: Run, world: World, lease: Lease, shell: Shell) -> Step:
    now_s = world.clock.now_s()
    if lease.offer.spot and now_s - run.heard_s > _HEARD_S:  # it answers: no sleep of ours lost it
        run = replace(run, heard_s=now_s)
    if not run.manifest_ready or (run.launch.bucket and run.upload != "complete"):
        run, _ = fold(run, shell.read(EVENTS_FILE, run.event_offset, _EVENTS_BYTES), now_s)
        with contextlib.suppress(ArtifactsError):  # said when all else is home
            world.log(run).fetch_some(shell)
        if not run.manifest_ready:
            return _until_listed(run, world, lease, shell)
    if run.launch.bucket and _is_refused(run, now_s):
        run = run.note(f"{run.bucket_folder}: {run.upload_problem}: results come home instead")
    elif run.launch.bucket:
        try:
            return _prove_upload(run, world, lease, shell)
        except ArtifactsError as error:  # the machine still has what the bucket lacks
            run = run.note(f"{error.problem}: results come home instead")
    store = world.home_store(run)
    manifest = store.read_manifest(shell, MANIFEST_FILE, limit_bytes=result_limit(world, run))
    wanted = _wanted(run, manifest)
    began_s = world.clock.awake_s()
    progress = store.fetch_some(shell, wanted)
    took_s = world.clock.awake_s() - began_s
    counted = run.lease or lease  # with the traffic that its agent has told of since
    run = run.with_lease(counted.with_pulled(progress.fetched_bytes, took_s))
    if not progress.finished:
        left = f"{progress.left_files} files, {progress.left_bytes / 2**20:.1f} MiB"
        return Wait(0.0, f"bringing artifacts home: {left} left", run)
    run = replace(
        run,
        brought_home=True,
        artifacts=_home(store.plan_pull(wanted), wanted),
        artifacts_missing=_named(progress.failed),
        metrics=_metrics(run, world) or run.metrics,
    )
    run, is_whole = _bring_log(run, world, shell)
    if not is_whole:
        return Wait(0.0, "bringing the log home", run)
    return _fetched(run, world, shell, f"{len(run.artifacts)} artifacts are home")


def _bring_log(run: Run, world: World, shell: Shell) -> tuple[Run, bool]:
    """Go on with the log for some seconds; whether it is whole, or as whole as it can be.

    Raises: HomeDiskFull. What else keeps it from home holds nothing up: its text is an artifact.
    """
    until_s = world.clock.awake_s() + BUDGET_S
    try:
        while world.log(run).fetch_some(shell):
            if world.clock.awake_s() >= until_s:
                return run, False
        world.log(run).sync()
    except HomeDiskFull:
        raise
    except ArtifactsError as error:
        run = run.note(error.problem)
        if not any(path == LOG_FILE for path, *_ in run.artifacts):
            missing = (*run.artifacts_missing, f"the log: {error.problem}")
            run = replace(run, artifacts_missing=missing)
    return run, True


def _fetched(run: Run, world: World, shell: Shell, why: str) -> Step:
    """Tell the machine that its results were fetched, and let go of it.

    Without the word it would keep them for its hold; that is worth neither a machine that takes
    no byte nor a connection that just broke. Only the next job needs it.
    """
    outcome, failure = verdict(run)
    if not run.artifacts_missing:
        try:
            shell.write(FETCHED_FILE, b"")
        except RemoteError as error:
            if run.launch.keep_s and isinstance(error, (Unreachable, HostKeyMismatch)):
                raise
            run = run.note(f"{error.problem}: it could not be told that all is home")
            return finish(run, world, outcome, failure, why)
    return keep_or_finish(run, world, outcome, failure, why)


def _until_listed(run: Run, world: World, lease: Lease, shell: Shell) -> Step:
    """Wait as long as an agent is there that lists what the program gave back.

    Hundreds of GiB take long to read, and only the cap hurries. An agent that died is followed by
    another, once; where that is not possible, nobody will ever list anything.
    """
    followed = _follow_the_agent(run, world, lease, shell, "the machine lists its artifacts")
    return followed or _give_up(run, world, "the machine never listed its artifacts")


def _follow_the_agent(
    run: Run, world: World, lease: Lease, shell: Shell, waiting: str
) -> Wait | None:
    """Wait as long as an agent is at work, or another can follow it; None when none ever will."""
    if world.awake_since_first_saw_s(f"{lease.key} lists") < _LOOK_S:
        return Wait(_POLL_S, waiting, run)
    world.first_saw.pop(f"{lease.key} lists", None)
    run = past_a_cut_log(run, shell)
    if not run.manifest_ready and shell.read(MANIFEST_FILE, 0, 1):  # written whole, last of all
        run = replace(run, manifest_ready=True)
    wait = Wait(_POLL_S, waiting, run)
    lives = agent_lives(shell)
    waited_s = world.clock.now_s() - (run.exit_seen_s or world.clock.now_s())
    if lives or (lives is None and waited_s <= MANIFEST_S):
        world.first_saw.pop(f"{lease.key} alone", None)
        return wait
    if lives is None:
        return None
    alone_s = world.awake_since_first_saw_s(f"{lease.key} alone")
    if alone_s < _LOOK_S:
        return wait  # it may have ended just behind its list
    code = shell.run(f"python3 {AGENT} conclude", timeout_s=60.0).exit_code
    if code == 0:
        died = "the agent died; another gives back what is on the machine"
        return Wait(_POLL_S, died, run.note(died))
    # What ended the agent may keep another from starting for a while: no memory, a full disk.
    return None if code in _NEVER or alone_s > MANIFEST_S else wait


def _is_refused(run: Run, now_s: float) -> bool:
    """The bucket takes nothing, for so long that what is on the machine is to come home."""
    return run.upload == "failing" and now_s - (run.exit_seen_s or now_s) > _REFUSED_S


def _prove_upload(run: Run, world: World, lease: Lease, shell: Shell) -> Step:
    """Wait until everything is in the bucket, and look for it there; only then let go.

    Raises: ArtifactsError when it is not there although the machine says so.
    """
    bucket = world.bucket(run, lease)
    assert bucket is not None, "whoever has results there can reach them"
    if run.upload != "complete":
        left = f"{run.upload_left_bytes / 2**20:.1f} MiB left"
        if run.upload == "failing":
            left = f"{run.upload_problem}; tried again"
        run = renew_slots(run, world, lease, shell)
        if run.upload != "failing":
            waiting = f"results go to {run.bucket_folder}: {left}"
            dead = replace(run, upload="failing", upload_problem="the agent died")
            return _follow_the_agent(run, world, lease, shell, waiting) or Wait(_POLL_S, "", dead)
        return Wait(_POLL_S, f"results go to {run.bucket_folder}: {left}", run)
    index = bucket.index()
    if index is None or not index.complete:
        raise ArtifactsError("the machine says that all is in the bucket, and it is not")
    run = with_what_is_there(run, bucket, index)
    run, is_whole = _bring_log(run, world, shell)
    if not is_whole:
        return Wait(0.0, "bringing the log home", run)
    return _fetched(run, world, shell, f"{len(run.artifacts)} artifacts are in the bucket")


def _lost(run: Run, world: World, lease: Lease) -> Step | None:
    return machine_lost(run if run.launch.bucket else _so_far(run, world), world, lease)


def _wanted(run: Run, manifest: Manifest) -> Manifest:
    """What of the machine's list the job wants, and what it wanted and cannot have."""
    files = tuple(file for file in manifest.files if _kept(run, file.kind))
    left = (sentence for kind, sentence in manifest.left if _kept(run, kind))
    return replace(manifest, files=files, refused=(*manifest.refused, *left), left=())


def _kept(run: Run, kind: str) -> bool:
    """`artifacts.keep` of the job; how it ended and its metrics always come home."""
    wish = run.job.get("artifacts")
    keep = wish.get("keep") if isinstance(wish, dict) else None
    return kind in _ALWAYS_KEPT or not isinstance(keep, list) or kind in keep


def _home(left: Iterable[ManifestFile], manifest: Manifest) -> tuple[tuple[str, int, str], ...]:
    missing = {file.path for file in left}
    return tuple(
        (file.home_path, file.size_bytes, file.sha256)
        for file in manifest.files
        if file.path not in missing
    )


def _named(missing: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each file that is missing, in so far as a person would read them."""
    more = len(missing) - _MOST_NAMED
    return (*missing[:_MOST_NAMED], *([f"and {more} more files"] if more > 0 else []))


def _metrics(run: Run, world: World) -> dict[str, float | str]:
    path = world.home_store(run).artifacts_dir / METRICS_FILE
    try:
        with path.open("rb") as file:
            return to_metrics(json.loads(file.read(_METRICS_BYTES)))
    except (OSError, ValueError, RecursionError):
        return {}


def _so_far(run: Run, world: World) -> Run:
    """The run with what is home, and the names of what is not, by the machine's last list."""
    store = world.home_store(run)
    manifest = store.known_manifest(limit_bytes=result_limit(world, run))
    if manifest is None:
        unknown = ("whatever the program gave back: the machine never listed it",)
        missing = run.artifacts_missing or unknown
        return replace(run, artifacts_missing=missing, unsettled=bool(run.launch.bucket))
    wanted = _wanted(run, manifest)
    left = store.plan_pull(wanted)
    missing = _named([f"{shown(file.home_path)} was not fetched" for file in left])
    return replace(
        run,
        brought_home=bool(run.launch.bucket),
        artifacts=_home(left, wanted),
        artifacts_missing=(*wanted.refused, *missing),
        metrics=_metrics(run, world) or run.metrics,
    )


def _give_up(run: Run, world: World, why: str) -> Step:
    outcome, failure = verdict(run) if run.exit else (Outcome.FAILED, None)
    return finish(_so_far(run, world), world, outcome, failure, why)
