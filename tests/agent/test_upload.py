from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agent.upload import Piece, UploadFailed, put, sha256_of
from tests.agent.loopback_bucket import LoopbackBucket

KEY = "parts/00001"


@pytest.fixture
def bucket() -> Iterator[LoopbackBucket]:
    with LoopbackBucket() as bucket:
        yield bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").write_bytes(b"abc")
    return tmp_path


def test_pieces_of_files_become_one_object(bucket: LoopbackBucket, folder: Path) -> None:
    sent: list[int] = []

    put(bucket.url(KEY), folder, [Piece("a", 2, 5), Piece("b", 0, 3)], on_bytes=sent.append)

    assert bucket.objects[KEY] == b"23456abc"
    assert sum(sent) == 8


def test_an_empty_file_is_an_empty_object(bucket: LoopbackBucket, folder: Path) -> None:
    put(bucket.url(KEY), folder, [Piece("a", 0, 0)])

    assert bucket.objects[KEY] == b""


def test_a_refusal_is_told_by_its_code_and_never_by_the_url(
    bucket: LoopbackBucket, folder: Path
) -> None:
    url = bucket.url(KEY)
    bucket.generation += 1

    with pytest.raises(UploadFailed, match="the bucket answers 403 AccessDenied") as caught:
        put(url, folder, [Piece("a", 0, 10)])

    assert caught.value.refused
    assert "Signature" not in str(caught.value)
    assert caught.value.__suppress_context__, "a traceback would show the URL's error"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_store_that_is_busy_has_refused_nothing(
    status: int, bucket: LoopbackBucket, folder: Path
) -> None:
    bucket.answer = lambda key: status

    with pytest.raises(UploadFailed, match=str(status)) as caught:
        put(bucket.url(KEY), folder, [Piece("a", 0, 10)])

    assert not caught.value.refused


def test_nobody_at_the_address_is_no_refusal(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        with pytest.raises(UploadFailed, match="no answer from the bucket") as caught:
            put(f"http://127.0.0.1:{port}/x?X-Amz-Signature=s3cret", folder, [Piece("a", 0, 10)])

    assert not caught.value.refused
    assert "s3cret" not in str(caught.value)


def test_no_url_at_all_is_told_as_no_answer(folder: Path) -> None:
    with pytest.raises(UploadFailed, match="no answer"):
        put("", folder, [Piece("a", 0, 10)])


@pytest.mark.parametrize(
    "piece", [Piece("a", 0, 11), Piece("a", 8, 3), Piece("absent", 0, 1), Piece("link", 0, 10)]
)
def test_a_file_that_is_not_what_it_was_is_the_files_fault(
    piece: Piece, bucket: LoopbackBucket, folder: Path
) -> None:
    (folder / "link").symlink_to(folder / "a")

    with pytest.raises(OSError) as caught:
        put(bucket.url(KEY), folder, [Piece("b", 0, 3), piece])

    assert not isinstance(caught.value, UploadFailed)
    assert bucket.objects == {}


def test_a_hash_is_that_of_the_whole_file(folder: Path) -> None:
    assert sha256_of(folder, "a") == (10, hashlib.sha256(b"0123456789").hexdigest())
    with pytest.raises(FileNotFoundError):
        sha256_of(folder, "absent")
