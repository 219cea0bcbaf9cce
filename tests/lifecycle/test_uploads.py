from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.artifacts.bucket import Bucket
from orchestrator.artifacts.s3 import S3, Access
from orchestrator.clock import FakeClock
from orchestrator.errors import BucketDown, BucketRefused
from orchestrator.lifecycle import uploads
from orchestrator.lifecycle.world import World
from orchestrator.remote.folder import FolderShell
from orchestrator.runs.run import Run
from orchestrator.spec.place import Place
from tests.artifacts.conftest import record_of, sha256
from tests.artifacts.memory_store import MemoryStore
from tests.lifecycle.clouds import label
from tests.lifecycle.worlds import NoCargo, quiet_world
from tests.runs.samples import NOW_S, launch, lease, run

FOLDER = Place("results", "team/mine/00")
LEASE = lease(label(), bills=False)
DAY_S = 86400.0


@dataclass
class Keeps(NoCargo):
    """Nothing to send; the run's files lie in a folder of the test."""

    home: Path

    def folder(self, run: Run) -> Path:
        self.home.mkdir(exist_ok=True)
        return self.home


@dataclass
class Scene:
    """A run whose results go to a store in memory, and a machine that is a folder."""

    store: MemoryStore
    clock: FakeClock
    world: World
    shell: FolderShell
    machine: Path
    home: Path
    end_s: float = float("inf")  # when the credentials end
    refused: BucketRefused | None = None  # nobody has credentials any more

    def bucket(self) -> Bucket:
        if self.refused is not None:
            raise self.refused
        return Bucket(S3(self.store, lambda: self.end_s), FOLDER)

    def run(self, **changes: object) -> Run:
        made = replace(launch(), bucket="s3://results/team", result_bytes=1 << 30)
        return replace(run(launch=made, leases=(LEASE,), heard_s=NOW_S), **changes)  # type: ignore[arg-type]

    def leaves(
        self, files: dict[str, bytes], others: dict[str, bytes] | None = None, **fields: object
    ) -> None:
        """What the machine sent before it ended."""
        listed: dict[str, list[dict[str, object]]] = {"files": [], "others": []}
        for kind, group in (("files", files), ("others", others or {})):
            for path, data in group.items():
                key = f"parts/{len(self.store.objects):05d}"
                self.store.objects[f"results/{FOLDER.key}/{key}"] = data
                part = {"key": key, "offset": 0, "size_bytes": len(data)}
                listed[kind].append({**record_of(path, data), "parts": [part]})
        index = {"protocol": 1, "label": "l", "complete": True, **listed, **fields}
        self.store.objects[f"results/{FOLDER.key}/index.json"] = json.dumps(index).encode()

    def slots(self) -> dict[str, object]:
        record = json.loads((self.machine / protocol.SLOTS_FILE).read_text())
        assert isinstance(record, dict)
        return record


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    clock, home = FakeClock(NOW_S), tmp_path / "home"
    world = replace(quiet_world(clock=clock), cargo=Keeps(home))
    machine = tmp_path / "machine"
    made = Scene(MemoryStore(), clock, world, FolderShell(machine), machine, home)
    world.bucket = lambda _run, _lease: made.bucket()
    return made


def test_a_bucket_is_faster_than_home_and_remembered_as_it_is_reached() -> None:
    home = replace(launch(), collect_s=4000.0, result_bytes=20 << 30)
    access = Access("http://store", "eu-west-1", "team")

    there = uploads.to_bucket(home, access)

    assert 1000 < there.collect_s < 1200
    assert (there.bucket_endpoint, there.bucket_region) == ("http://store", "eu-west-1")
    assert there.bucket_profile == "team"
    assert uploads.to_bucket(replace(home, collect_s=60.0), access).collect_s == 60.0


def test_slots_arrive_and_last_past_the_deadline(scene: Scene) -> None:
    uploads.send_slots(scene.run(), LEASE, scene.shell, scene.bucket(), NOW_S)

    slots = scene.slots()["slots"]
    assert isinstance(slots, list)
    assert len(slots) == 400 + 8
    ends_s = scene.slots()["ends_at"]
    assert isinstance(ends_s, float)
    assert LEASE.deadline_s + 600 <= ends_s <= LEASE.deadline_s + 1800
    assert all(f"/{FOLDER.key}/parts/" in slot["url"] for slot in slots)


def test_credentials_that_end_before_the_machine_sign_nothing(scene: Scene) -> None:
    scene.end_s = LEASE.deadline_s - 60

    with pytest.raises(BucketRefused, match="the AWS credentials end in 119 min"):
        uploads.send_slots(scene.run(), LEASE, scene.shell, scene.bucket(), NOW_S)

    assert not (scene.machine / protocol.SLOTS_FILE).exists()


def renewed(scene: Scene, run: Run) -> Run:
    return uploads.renew_slots(run, scene.world, LEASE, scene.shell)


def test_urls_are_renewed_now_and_then_while_somebody_watches(scene: Scene) -> None:
    run = renewed(scene, scene.run())
    assert run.slots_sent_s == NOW_S
    scene.clock.advance(3600)
    assert renewed(scene, run) == run
    assert not (scene.machine / protocol.SLOTS_FILE).exists()

    scene.clock.advance(6 * 3600)
    run = renewed(scene, run)

    assert run.slots_sent_s == NOW_S + 7 * 3600
    assert scene.slots()["slots"]


def test_urls_that_are_refused_are_renewed_within_a_minute(scene: Scene) -> None:
    run = scene.run(upload="failing", slots_sent_s=NOW_S)
    scene.clock.advance(61)

    assert renewed(scene, run).slots_sent_s == NOW_S + 61
    assert (scene.machine / protocol.SLOTS_FILE).exists()


def test_nothing_is_renewed_once_everything_is_there(scene: Scene) -> None:
    run = scene.run(upload="complete", slots_sent_s=NOW_S)
    scene.clock.advance(DAY_S)

    assert renewed(scene, run) == run


def test_a_store_that_refuses_us_stops_no_watching(scene: Scene) -> None:
    scene.refused = BucketRefused("artifacts.to needs AWS credentials, and there are none")
    run = scene.run(slots_sent_s=NOW_S)
    scene.clock.advance(DAY_S)

    run = renewed(scene, run)

    assert "no new slots could be sent: artifacts.to needs AWS credentials" in run.notes[-1]
    assert run.slots_sent_s == NOW_S + DAY_S, "asked again later, not at each look"


def test_what_is_proven_to_be_there_is_the_run_s(scene: Scene) -> None:
    metrics = b'{"eval_accuracy": 0.9}'
    events = protocol.encode(
        {"at": NOW_S, "event": "exited", "why": "finished", "exit_code": 0}
    ) + protocol.encode({"at": NOW_S, "event": "ready"})
    files = {"output/a": b"abc", "metrics.json": metrics}
    scene.leaves(files, {"events.jsonl": events, "log.txt": b"hello\n"})

    run, is_whole = uploads.settle(scene.run(), scene.world, LEASE)

    assert is_whole
    assert sorted(run.artifacts) == [
        ("a", 3, sha256(b"abc")),
        ("metrics.json", len(metrics), sha256(metrics)),
    ]
    assert run.metrics == {"eval_accuracy": 0.9}
    assert (run.exit["exit_code"], run.manifest_ready) == (0, True)
    assert run.heard_s == NOW_S, "a bucket is no sign of life"
    assert (scene.home / "log.txt").read_bytes() == b"hello\n"


def test_a_file_that_the_machine_could_not_send_is_named(scene: Scene) -> None:
    scene.leaves({"output/a": b"abc"}, changed=["output/b\x1b[31m"])

    run, is_whole = uploads.settle(scene.run(), scene.world, LEASE)

    assert is_whole
    assert run.artifacts_missing == ("'output/b\\x1b[31m' changed after it was listed",)


@pytest.mark.parametrize("complete", [True, False])
def test_what_is_not_there_is_never_called_whole(complete: bool, scene: Scene) -> None:
    scene.leaves({"output/a": b"abc"}, complete=complete)
    if complete:
        del scene.store.objects[f"results/{FOLDER.key}/parts/00000"]

    run, is_whole = uploads.settle(scene.run(), scene.world, LEASE)

    assert not is_whole
    assert len(run.artifacts_missing) == 1
    assert len(run.artifacts) == (0 if complete else 1)


def down(scene: Scene) -> type[Exception]:
    scene.store.down = True
    return BucketDown


def without_keys(scene: Scene) -> type[Exception]:
    scene.refused = BucketRefused("artifacts.to needs AWS credentials, and there are none")
    return BucketRefused


@pytest.mark.parametrize("break_it", [down, without_keys])
def test_a_store_that_cannot_be_asked_is_waited_for_some_minutes(
    break_it: Callable[[Scene], type[Exception]], scene: Scene
) -> None:
    scene.leaves({"output/a": b"abc"})
    error = break_it(scene)

    with pytest.raises(error):
        uploads.settle(scene.run(), scene.world, LEASE)
    scene.clock.advance(601)

    run, is_whole = uploads.settle(scene.run(), scene.world, LEASE)

    assert not is_whole
    assert run.notes


def test_an_index_that_cannot_be_ends_no_run(scene: Scene) -> None:
    scene.store.objects[f"results/{FOLDER.key}/index.json"] = b"[" * 1000

    run, is_whole = uploads.settle(scene.run(), scene.world, LEASE)

    assert not is_whole
    assert "no JSON" in run.notes[-1]


def leaves_checkpoint(scene: Scene) -> None:
    listed = {"path": "state", "size_bytes": 5, "sha256": sha256(b"state")}
    complete = json.dumps({"step": 4, "files": [listed]}).encode()
    others = {"checkpoints/step-4/state": b"state", "checkpoints/step-4/complete.json": complete}
    scene.leaves({}, others, complete=False)


def test_the_newest_checkpoint_comes_home_for_the_next_machine(scene: Scene) -> None:
    leaves_checkpoint(scene)

    assert uploads.bring_checkpoint(scene.run(), scene.world, LEASE)

    assert (scene.home / "checkpoints/step-4/state").read_bytes() == b"state"


def test_a_checkpoint_that_is_not_whole_is_none(scene: Scene) -> None:
    leaves_checkpoint(scene)
    scene.store.objects[f"results/{FOLDER.key}/parts/00000"] = b"other"

    assert uploads.bring_checkpoint(scene.run(), scene.world, LEASE)

    assert not (scene.home / "checkpoints/step-4").exists()


@pytest.mark.parametrize("break_it", [down, without_keys])
def test_what_may_lie_in_a_store_that_cannot_be_asked_is_not_unknown_for_good(
    break_it: Callable[[Scene], type[Exception]], scene: Scene
) -> None:
    leaves_checkpoint(scene)
    break_it(scene)

    assert not uploads.bring_checkpoint(scene.run(), scene.world, LEASE)
