"""When a machine whose results go to a bucket ends, told by the packaged agent itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.agent import protocol
from tests.agent.loopback_bucket import LoopbackBucket
from tests.agent.work_folder import WorkFolder

UPLOAD = {"keep": list(protocol.KINDS), "every_s": 1}


@pytest.fixture
def bucket() -> Iterator[LoopbackBucket]:
    with LoopbackBucket() as bucket:
        yield bucket


def starts(work: WorkFolder, bucket: LoopbackBucket, **fields: object) -> None:
    """A job that writes one file and is over at once."""
    bucket.give_slots(work.path)
    command = "echo forty-two | tee $GPULEASE_OUTPUT/result.txt"
    work.write_run(command, upload=UPLOAD, ends_machine=True, **fields)
    work.run()


def is_told(work: WorkFolder, state: str) -> bool:
    return any(event["state"] == state for event in work.events("upload"))


def test_a_machine_ends_itself_once_everything_is_there(
    work: WorkFolder, bucket: LoopbackBucket
) -> None:
    starts(work, bucket)
    work.until(lambda: is_told(work, "complete"), "everything to be there")
    assert bucket.file("output/result.txt") == b"forty-two\n"
    assert bucket.file("log.txt") == b"forty-two\n"
    assert bucket.index()["complete"] is True
    assert not work.events("ending"), "whoever watches may want to see the last of the log"

    work.advance(21)

    assert work.wait_for("ending")["why"] == "uploaded"


@pytest.mark.slow
def test_a_machine_that_is_fetched_from_after_all_stays(
    work: WorkFolder, bucket: LoopbackBucket
) -> None:
    starts(work, bucket)
    work.until(lambda: is_told(work, "complete"), "everything to be there")
    for _ in range(3):
        (work.path / protocol.SENT_FILE).touch()  # as `send` does while it sends
        assert work.agent_is_alive()  # and it has looked around meanwhile
        work.advance(10)
    assert not work.events("ending")

    work.advance(11)

    assert work.wait_for("ending")["why"] == "uploaded"


def test_a_bucket_that_refuses_everything_keeps_no_machine_longer_than_its_hold(
    work: WorkFolder, bucket: LoopbackBucket
) -> None:
    bucket.answer = lambda key: 403
    starts(work, bucket, hold_s=100)
    work.until(lambda: is_told(work, "failing"), "the refusal to be told")

    tries = len(bucket.tries)
    work.advance(90)
    work.until(lambda: len(bucket.tries) > tries, "another try")
    assert not work.events("ending")
    work.advance(11)

    assert work.wait_for("ending")["why"] == "hold"
