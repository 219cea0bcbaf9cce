from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.bucket import BucketCopy
from orchestrator.agent.clock import Clock
from orchestrator.agent.manifest import list_files
from orchestrator.agent.records import Events, Reserve, write_record
from orchestrator.agent.runfile import Upload, parse_run_file
from orchestrator.artifacts.stored import parse_index
from tests.agent.loopback_bucket import LoopbackBucket
from tests.agent.run_files import run_file
from tests.artifacts.conftest import fill, put_checkpoint

_LIMIT_S = 30.0
MIB = 1 << 20


@pytest.fixture
def bucket() -> Iterator[LoopbackBucket]:
    with LoopbackBucket() as bucket:
        yield bucket


@dataclass
class Machine:
    """A work folder whose bucket is kept like it; what the driver and the job do is the test's."""

    folder: Path
    bucket: LoopbackBucket
    copy: BucketCopy
    over: threading.Event
    offset: Path  # moves the agent's clock

    def ends_job(self, *, listed: bool = True) -> None:
        """The job is over; with what it lists, unless the agent could not write that."""
        if listed:
            record = {"protocol": protocol.PROTOCOL, "files": list_files(self.folder)[0]}
            write_record(self.folder / protocol.MANIFEST_FILE, record)
        self.over.set()

    def uploads(self) -> list[dict[str, object]]:
        lines = (self.folder / protocol.EVENTS_FILE).read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [event for event in events if event["event"] == "upload"]

    def until(self, claim: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + _LIMIT_S
        while not claim():
            assert time.monotonic() < give_up_s, f"{self.bucket.index()}\n{self.uploads()[-3:]}"
            time.sleep(0.02)

    def is_complete(self) -> bool:
        return self.copy.complete_s is not None


@pytest.fixture
def start(tmp_path: Path, bucket: LoopbackBucket) -> Iterator[Callable[..., Machine]]:
    """Starts the copying of a work folder that has some slots, unless the test gave it others."""
    started: list[Machine] = []
    folder = tmp_path / "work"
    folder.mkdir()

    def start(keep: tuple[str, ...] = protocol.KINDS) -> Machine:
        offset = tmp_path / "clock"
        offset.write_text("0")
        clock, over = Clock(str(offset)), threading.Event()
        if not (folder / protocol.SLOTS_FILE).exists():
            bucket.give_slots(folder)
        run = replace(parse_run_file(run_file(checkpoints_every_s=0)), upload=Upload(keep, 0.1))
        events = Events(folder / protocol.EVENTS_FILE, clock, Reserve(folder / "reserve"))
        events.add("message", text="started")
        copy = BucketCopy(folder, run, clock, events, over)
        copy.start()
        started.append(Machine(folder, bucket, copy, over, offset))
        return started[-1]

    yield start
    for machine in started:
        machine.over.set()
        machine.copy.stop()


def test_when_the_job_is_over_every_listed_file_is_there(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    files = {
        "exit.json": b"{}",
        "log.txt": b"hello\n",
        "output/model/weights": bytes(range(256)) * 10_000,  # three parts
        "output/a": b"a",
        "output/empty": b"",
    }
    fill(tmp_path / "work", files)
    machine = start()

    machine.ends_job()
    machine.until(machine.is_complete)

    index = bucket.index()
    assert index["complete"] is True
    assert index["changed"] == []
    assert {one["path"] for one in index["files"]} == set(files)
    for record in index["files"]:
        data = bucket.file(record["path"])
        assert data == files[record["path"]]
        assert hashlib.sha256(data).hexdigest() == record["sha256"]
    weights = next(one for one in index["files"] if one["path"] == "output/model/weights")
    assert len(weights["parts"]) == 3
    assert [event["state"] for event in machine.uploads()][-1] == "complete"
    parse_index(json.dumps(index).encode())


def test_only_what_the_job_keeps_is_sent_and_how_it_ended(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    names = ("exit.json", "metrics.json", "output/model/weights", "output/scratch")
    fill(tmp_path / "work", dict.fromkeys(names, b"x"))
    machine = start(keep=("model",))

    machine.ends_job()
    machine.until(machine.is_complete)

    kept = {one["path"] for one in bucket.index()["files"]}
    assert kept == {"exit.json", "metrics.json", "output/model/weights"}


def test_log_and_newest_checkpoint_are_there_before_the_job_is_over(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    machine = start()
    fill(machine.folder, {"log.txt": b"step 1\n"})
    machine.until(lambda: bucket.file("log.txt") == b"step 1\n")
    with (machine.folder / "log.txt").open("ab") as log:
        log.write(b"step 2\n")
    put_checkpoint(machine.folder, 2, {"state": b"two", "optimizer": b"state of two"})

    machine.until(lambda: bucket.file("log.txt") == b"step 1\nstep 2\n")
    machine.until(lambda: bucket.file("checkpoints/step-2/optimizer") == b"state of two")

    index = bucket.index()
    assert index["complete"] is False
    assert index["files"] == []
    assert parse_index(json.dumps(index).encode()).newest_checkpoint() == "checkpoints/step-2"
    said = bucket.file(protocol.EVENTS_FILE)
    assert said is not None
    assert b"started" in said


def test_two_checkpoints_stay_and_their_objects_are_not_sent_again_at_the_end(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    bucket.give_slots(tmp_path / "work", count=5)
    machine = start()
    for step in range(1, 6):
        put_checkpoint(machine.folder, step, {"state": f"state of {step}".encode()})
        path = f"checkpoints/step-{step}/state"
        machine.until(lambda path=path: bucket.file(path) is not None)  # type: ignore[misc]

    assert bucket.file("checkpoints/step-3/state") is None
    assert bucket.file("checkpoints/step-4/state") == b"state of 4"
    sent = list(bucket.tries)
    machine.ends_job()
    machine.until(machine.is_complete)

    last = {one["path"]: one for one in bucket.index()["files"]}
    assert bucket.file("checkpoints/step-5/state") == b"state of 5"
    key = last["checkpoints/step-5/state"]["parts"][0]["key"]
    assert key not in bucket.tries[len(sent) :]


def test_a_checkpoint_that_goes_away_while_it_is_sent_is_not_named(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    files = {name: name.encode() * MIB for name in "abcd"}
    put_checkpoint(tmp_path / "work", 1, files)

    def answer(key: str) -> int:
        if bucket.tries.count("parts/00003"):
            shutil.rmtree(tmp_path / "work/checkpoints/step-1", ignore_errors=True)
        return 200

    bucket.answer = answer
    machine = start()
    machine.until(lambda: not (machine.folder / "checkpoints/step-1").exists())
    bucket.answer = lambda key: 200
    put_checkpoint(machine.folder, 2, files)
    machine.until(lambda: bucket.file("checkpoints/step-2/complete.json") is not None)

    paths = {one["path"] for one in bucket.index()["others"]}
    assert not [path for path in paths if path.startswith("checkpoints/step-1/")]
    used = {part["key"] for one in bucket.index()["others"] for part in one["parts"]}
    assert len(used) <= 6, "what the failed try had taken is free again"


def test_a_listed_file_that_changed_holds_up_no_other(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    fill(tmp_path / "work", {"output/a": b"first", "output/b": b"gone", "output/c": b"stays"})
    listed = list_files(tmp_path / "work")[0]
    write_record(tmp_path / "work" / protocol.MANIFEST_FILE, {"protocol": 1, "files": listed})
    (tmp_path / "work/output/a").write_bytes(b"longer than listed")
    (tmp_path / "work/output/b").unlink()
    machine = start()

    machine.ends_job(listed=False)
    machine.until(machine.is_complete)

    index = bucket.index()
    assert [one["path"] for one in index["files"]] == ["output/c"]
    assert sorted(index["changed"]) == ["output/a", "output/b"]


def test_what_was_too_much_for_the_list_is_told_in_the_index_where_it_was_wanted(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    fill(tmp_path / "work", {"output/a": b"a"})
    left = [{"kind": kind, "files": 3, "first": "x"} for kind in ("rest", "checkpoint")]
    record = {"protocol": 1, "files": list_files(tmp_path / "work")[0], "left": left}
    write_record(tmp_path / "work" / protocol.MANIFEST_FILE, record)
    machine = start(("rest",))

    machine.ends_job(listed=False)
    machine.until(machine.is_complete)

    assert bucket.index()["left"] == left[:1]


def test_without_a_manifest_the_files_themselves_say_what_there_is(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    fill(tmp_path / "work", {"output/a": b"a"})
    machine = start()

    machine.ends_job(listed=False)
    machine.until(machine.is_complete)

    assert bucket.file("output/a") == b"a"


def test_a_bucket_that_refuses_is_told_and_new_urls_help_at_once(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    fill(tmp_path / "work", {"output/a": b"a"})
    bucket.give_slots(tmp_path / "work")
    bucket.generation += 1
    machine = start()
    machine.ends_job()
    machine.until(lambda: any(one["state"] == "failing" for one in machine.uploads()))
    (told,) = [one for one in machine.uploads() if one["state"] == "failing"][:1]
    assert told["problem"] == "the bucket answers 403 AccessDenied"
    moved_s, tries = machine.copy.moved_s, len(bucket.tries)
    machine.offset.write_text("1000")
    bucket.give_slots(machine.folder)
    bucket.generation += 1
    machine.until(lambda: len(bucket.tries) > tries)
    assert machine.copy.moved_s == moved_s, "what is refused keeps no machine alive"

    bucket.give_slots(machine.folder)
    machine.until(machine.is_complete)

    assert bucket.file("output/a") == b"a"
    assert b"Signature" not in (machine.folder / protocol.EVENTS_FILE).read_bytes()


def test_the_index_is_written_last_and_never_names_what_is_not_there(
    start: Callable[..., Machine], bucket: LoopbackBucket, tmp_path: Path
) -> None:
    def answer(key: str) -> int:
        if key == protocol.INDEX_FILE:  # `file` asserts that each part is whole
            for record in [*bucket.index()["files"], *bucket.index()["others"]]:
                bucket.file(record["path"])
        return 200

    fill(tmp_path / "work", {f"output/{n}": b"x" * n for n in range(50)})
    bucket.answer = answer
    machine = start()
    for step in range(1, 4):
        put_checkpoint(machine.folder, step, {"state": bytes(step)})
        path = f"checkpoints/step-{step}/state"
        machine.until(lambda path=path: bucket.file(path) is not None)  # type: ignore[misc]

    machine.ends_job()
    machine.until(machine.is_complete)

    assert bucket.tries[-1] == protocol.INDEX_FILE
    assert len(bucket.index()["files"]) == 50 + 4  # two checkpoints of two files
