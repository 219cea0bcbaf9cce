from __future__ import annotations

import json
import time

import pytest

from orchestrator.artifacts.bucket import Bucket, BucketShell, check_lasts
from orchestrator.artifacts.s3 import LONGEST_SIGNED_S, S3, Access, open_s3
from orchestrator.errors import ArtifactsError, BucketRefused
from orchestrator.spec.place import Place
from tests.artifacts.memory_store import MemoryStore
from tests.artifacts.signature import is_good, slots_of

SECRET = "the-secret-of-the-test"
FOLDER = Place("results", "team/mine-abc/00")


@pytest.fixture
def signing() -> Bucket:
    """Signs as for AWS itself; nothing is asked of anybody."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": SECRET}
    access = Access(region="eu-west-1", credentials=keys)
    return Bucket(open_s3(access, now_s=time.time), FOLDER)


def test_a_url_is_good_for_one_key_below_the_run_until_after_the_deadline(signing: Bucket) -> None:
    deadline_s = time.time() + 7200

    slots = slots_of(signing, deadline_s)

    assert len(set(slots.values())) == len(slots) == 401
    for key, url in slots.items():
        assert f"/{FOLDER.key}/{key}?" in url
        assert SECRET not in url
        assert is_good(url, SECRET, method="PUT", at_s=deadline_s + 60)


def test_a_url_is_good_for_nothing_else(signing: Bucket) -> None:
    deadline_s = time.time() + 7200
    url = slots_of(signing, deadline_s)["parts/00001"]
    in_time = {"secret": SECRET, "at_s": deadline_s}

    assert is_good(url, **in_time, method="PUT")  # type: ignore[arg-type]
    for changed in (
        url.replace("parts/00001", "parts/00002"),
        url.replace("mine-abc", "mine-abd"),
        url.replace("/team/", "/"),
        url.replace("results", "secrets"),
        url.replace("X-Amz-Expires=", "X-Amz-Expires=9"),
    ):
        assert changed != url
        assert not is_good(changed, **in_time, method="PUT")  # type: ignore[arg-type]
    for method in ("GET", "DELETE", "HEAD", "POST"):
        assert not is_good(url, **in_time, method=method)  # type: ignore[arg-type]
    assert not is_good(url, SECRET, method="PUT", at_s=deadline_s + 3600)
    assert not is_good(url, "another-secret", method="PUT", at_s=deadline_s)


@pytest.mark.parametrize(
    ("end_s", "until_s", "words"),
    [
        (3600.0, 7200.0, "the AWS credentials end in 60 min, and .* for 2.0 h"),
        (float("inf"), LONGEST_SIGNED_S + 1.0, "for 7.0 days, and S3 lets nobody sign"),
    ],
)
def test_what_would_end_too_early_is_not_signed(end_s: float, until_s: float, words: str) -> None:
    s3 = S3(MemoryStore(), lambda: end_s)

    with pytest.raises(BucketRefused, match=words):
        Bucket(s3, FOLDER).slots(0, until_s=until_s, now_s=0.0)

    check_lasts(s3, min(end_s, LONGEST_SIGNED_S), 0.0)


@pytest.mark.parametrize(
    ("end_s", "until_s"), [(7300.0, 7200.0), (float("inf"), LONGEST_SIGNED_S - 1.0)]
)
def test_a_url_never_claims_to_outlast_its_credentials_or_seven_days(
    end_s: float, until_s: float
) -> None:
    s3 = S3(MemoryStore(), lambda: end_s)

    slots = Bucket(s3, FOLDER).slots(0, until_s=until_s, now_s=0.0)

    assert slots["ends_at"] == min(end_s, LONGEST_SIGNED_S)


def filled(store: MemoryStore) -> Bucket:
    """A folder with one file over two objects."""
    parts = [
        {"key": "parts/00001", "offset": 0, "size_bytes": 4},
        {"key": "parts/00002", "offset": 2, "size_bytes": 3},
    ]
    file = {"path": "output/a", "size_bytes": 7, "sha256": "0" * 64, "parts": parts}
    index = {"protocol": 1, "label": "l", "complete": True, "files": [file], "others": []}
    folder = f"results/{FOLDER.key}"
    store.objects[f"{folder}/index.json"] = json.dumps(index).encode()
    store.objects[f"{folder}/parts/00001"] = b"0123"
    store.objects[f"{folder}/parts/00002"] = b"xx456"
    return Bucket(S3(store), FOLDER)


def test_a_file_is_read_as_if_it_were_on_the_machine() -> None:
    bucket = filled(MemoryStore())
    index = bucket.index()
    assert index is not None
    shell = BucketShell(bucket, index)

    bucket.check(index)
    assert shell.read("output/a", 0, 100) == b"0123456"
    assert shell.read("output/a", 3, 2) == b"34"
    assert b"".join(shell.pull("output/a", 2, 6)) == b"2345"
    assert shell.read("absent", 0, 100) == b""
    assert shell.read("manifest.json", 0, 1 << 20) == index.document
    assert shell.run("anything").exit_code == 127


@pytest.mark.parametrize("left", [None, b"xx4"])
def test_an_object_that_is_absent_or_short_is_no_proof(left: bytes | None) -> None:
    store = MemoryStore()
    bucket = filled(store)
    key = f"results/{FOLDER.key}/parts/00002"
    if left is None:
        del store.objects[key]
    else:
        store.objects[key] = left
    index = bucket.index()
    assert index is not None

    with pytest.raises(ArtifactsError, match="parts/00002 is not whole"):
        bucket.check(index)
    assert len(BucketShell(bucket, index).read("output/a", 0, 100)) < 7


def test_a_folder_without_an_index_has_none() -> None:
    assert Bucket(S3(MemoryStore()), FOLDER).index() is None
