from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.agent.upload import Piece, UploadFailed, put
from orchestrator.artifacts.bucket import Bucket
from orchestrator.artifacts.probe import probe, write_signed
from orchestrator.artifacts.s3 import S3, Access, open_s3
from orchestrator.errors import BucketDown, BucketRefused
from orchestrator.spec.place import Place
from tests.artifacts.memory_store import MemoryStore
from tests.artifacts.signature import slots_of
from tests.artifacts.strict_store import KEYS, StrictStore, strict_store

PLACE = Place("results", "team")


def opened(store: StrictStore) -> S3:
    access = Access(endpoint=store.url, region="eu-west-1", credentials=KEYS)
    return open_s3(access, now_s=time.time)


def into(store: MemoryStore) -> Callable[[str, bytes], None]:
    """What a signed URL does, where the store is in memory."""

    def write(url: str, data: bytes) -> None:
        store.objects[url.partition("?")[0].removeprefix("https://store/")] = data

    return write


@pytest.mark.parametrize(
    ("operation", "done"),
    [
        ("PutObject", "written"),
        ("GetObject", "read"),
        ("ListObjectsV2", "listed"),
        ("DeleteObject", "deleted"),
    ],
)
def test_each_right_that_is_missing_is_named(operation: str, done: str) -> None:
    store = MemoryStore()
    probe(S3(store), PLACE, "one", write=into(store))
    assert store.objects == {}
    store.denies[operation] = "AccessDenied"

    with pytest.raises(BucketRefused, match=f"a test object cannot be {done}: ") as caught:
        probe(S3(store), PLACE, "two", write=into(store))

    assert "s3:PutObject" in caught.value.hint
    assert not store.objects or operation == "DeleteObject", "nothing is left lying there"


def test_a_write_that_goes_nowhere_is_seen() -> None:
    store = MemoryStore()

    with pytest.raises(BucketRefused, match=r"by a signed URL: .* something else"):
        probe(S3(store), PLACE, "one", write=lambda url, data: None)

    assert store.objects == {}


def test_a_store_that_looks_at_signatures_takes_ours() -> None:
    with strict_store() as store:
        probe(opened(store), PLACE, "one")

        assert store.signed == ["PUT"]
        assert store.objects == {}


def test_a_clock_that_is_ten_minutes_ahead_is_told_before_anything_is_rented() -> None:
    with (
        strict_store(ahead_s=-600) as store,
        pytest.raises(BucketRefused, match="the answer is 403 AccessDenied") as caught,
    ):
        probe(opened(store), PLACE, "one")

    assert "clock" in caught.value.hint
    assert "Signature" not in str(caught.value)


def test_a_clock_that_is_an_hour_off_is_told() -> None:
    with (
        strict_store(ahead_s=3600) as store,
        pytest.raises(BucketRefused, match="the time of the request is refused") as caught,
    ):
        probe(opened(store), PLACE, "one")

    assert "clock" in caught.value.hint


def test_with_a_clock_ten_minutes_behind_the_last_part_still_arrives(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    deadline_s = time.time() + 3600  # by our clock
    with strict_store(ahead_s=600) as store:
        bucket = Bucket(opened(store), PLACE)
        probe(bucket.s3, PLACE, "one")
        slots = slots_of(bucket, deadline_s)
        store.ahead_s += 3600  # the deadline has come

        put(slots["parts/00001"], tmp_path, [Piece("a", 0, 3)])

        assert store.objects["results/team/parts/00001"] == b"abc"


def test_a_machine_s_url_writes_one_object_and_only_in_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with strict_store() as store:
        url = slots_of(Bucket(opened(store), PLACE), time.time() + 60)["parts/00001"]

        put(url, tmp_path, [Piece("a", 0, 3)])
        for other in (url.replace("00001", "00002"), url.replace("/team/", "/others/")):
            with pytest.raises(UploadFailed, match="403 AccessDenied"):
                put(other, tmp_path, [Piece("a", 0, 3)])
        store.ahead_s = 3600
        with pytest.raises(UploadFailed, match="403 AccessDenied"):
            put(url, tmp_path, [Piece("a", 0, 3)])

        assert store.objects == {"results/team/parts/00001": b"abc"}


def test_no_answer_is_told_without_the_url() -> None:
    with pytest.raises(BucketDown) as caught:
        write_signed("http://127.0.0.1:9/x?X-Amz-Signature=s3cret", b"")

    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__
