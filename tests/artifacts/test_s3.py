from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.artifacts.s3 import S3, Access, open_s3
from orchestrator.errors import BucketDown, BucketRefused
from orchestrator.spec.place import Place
from tests.artifacts.memory_store import MemoryStore

PLACE = Place("results", "team")
NOW_S = 1_800_000_000.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def s3(store: MemoryStore) -> S3:
    return S3(store)


def test_what_is_put_is_got_and_what_is_absent_is_none(s3: S3) -> None:
    s3.put(PLACE.below("a"), b"0123456789")

    assert s3.get(PLACE.below("a"), 10) == b"0123456789"
    assert s3.get(PLACE.below("b"), 10) is None
    assert b"".join(s3.stream(PLACE.below("a"), 2, 5)) == b"234"
    assert b"".join(s3.stream(PLACE.below("a"), 8, 50)) == b"89"
    assert b"".join(s3.stream(PLACE.below("a"), 10, 50)) == b""
    assert b"".join(s3.stream(PLACE.below("b"), 0, 5)) == b""
    facts = s3.facts(PLACE.below("a"))
    assert facts is not None
    assert facts[0] == 10
    assert s3.facts(PLACE.below("b")) is None


def test_an_object_longer_than_it_may_be_is_refused(s3: S3) -> None:
    s3.put(PLACE.below("a"), b"0123456789")

    with pytest.raises(BucketRefused, match="absurdly long"):
        s3.get(PLACE.below("a"), 9)


def test_all_pages_of_a_listing_are_read_and_only_what_is_below(s3: S3) -> None:
    for number in range(5):
        s3.put(PLACE.below(f"k{number}"), b"x" * number)
    s3.put(Place("results", "teammate/k9"), b"other")

    assert s3.sizes(PLACE) == {f"k{number}": number for number in range(5)}


@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        ("NoSuchBucket", 404, BucketRefused, "no such bucket"),
        ("InvalidAccessKeyId", 403, BucketRefused, "credentials are refused"),
        ("RequestTimeTooSkewed", 403, BucketRefused, "the time of the request is refused"),
        ("SlowDown", 503, BucketDown, "503"),
        ("\x1b[31mOdd", 400, BucketRefused, "400"),
    ],
)
def test_an_error_is_ours_in_words_that_can_be_shown(
    code: str, status: int, error: type[Exception], words: str, s3: S3, store: MemoryStore
) -> None:
    store.denies["PutObject"], store.status = code, status

    with pytest.raises(error, match=words) as caught:
        s3.put(PLACE, b"")

    assert str(caught.value).isprintable()


def test_no_answer_is_told_without_the_url(s3: S3, store: MemoryStore) -> None:
    store.down = True

    with pytest.raises(BucketDown) as caught:
        s3.put(PLACE, b"")

    assert "Signature" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_region_is_known_even_where_the_bucket_may_not_be_looked_at(
    s3: S3, store: MemoryStore
) -> None:
    assert s3.region(PLACE) == "eu-west-1"
    store.denies["HeadBucket"] = "403"
    assert s3.region(PLACE) == "eu-west-1"
    store.denies["HeadBucket"], store.status = "404", 404
    with pytest.raises(BucketRefused, match="no such bucket"):
        s3.region(PLACE)


def test_lasting_credentials_never_end() -> None:
    s3 = open_s3(Access(credentials=KEYS), now_s=lambda: NOW_S)

    assert s3.credentials_end_s == float("inf")


@pytest.mark.parametrize(
    ("said", "words"),
    [(None, "do not say when they end"), ("soon", "do not say"), ("2000-01-01", "have ended")],
)
def test_temporary_credentials_must_say_when_they_end(said: str | None, words: str) -> None:
    given = {**KEYS, "AWS_SESSION_TOKEN": "t"}
    if said:
        given["AWS_CREDENTIAL_EXPIRATION"] = said

    with pytest.raises(BucketRefused, match=words):
        open_s3(Access(credentials=given), now_s=lambda: NOW_S)


def test_temporary_credentials_end_when_they_say() -> None:
    end = {"AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": "2027-01-15T09:00:00Z"}

    s3 = open_s3(Access(credentials={**KEYS, **end}), now_s=lambda: NOW_S)

    assert s3.credentials_end_s == NOW_S + 3600


def test_no_credentials_at_all_say_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(BucketRefused, match="there are none"):
        open_s3(Access(), now_s=lambda: NOW_S)


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(BucketRefused, match="ProfileNotFound"):
        open_s3(Access(profile="nobody"), now_s=lambda: NOW_S)
