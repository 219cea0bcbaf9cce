from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts.download import Downloads, bare, is_safe
from orchestrator.artifacts.s3 import S3
from orchestrator.errors import ArtifactsError, GpuleaseError, UsageError
from tests.artifacts.memory_store import MemoryStore
from tests.artifacts.web import ROWS, Web


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def downloads(tmp_path: Path, store: MemoryStore) -> Downloads:
    return Downloads(tmp_path / "data", lambda: S3(store))


def test_a_file_is_fetched_once_and_again_only_when_it_is_another(
    downloads: Downloads, web: Web
) -> None:
    first = downloads.fetch(web.url)
    again = downloads.fetch(web.url)
    web.data, web.headers = b"new\n", {"ETag": '"two"'}
    other = downloads.fetch(web.url)

    assert first == again
    assert first.name == other.name == "train.jsonl"
    assert (first.read_bytes(), other.read_bytes()) == (ROWS, b"new\n")
    assert web.asked == ["HEAD", "GET", "HEAD", "HEAD", "GET"]


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"head_size": 10}, "said that it has 10 bytes, and then 2800"),
        ({"head_size": 10**15}, "can be had at home"),
        ({"get_size": 9000}, "said that it has 2800 bytes, and then 9000"),
        ({"head_status": 405, "get_size": 9000}, "cannot be had: RemoteProtocolError"),
        ({"head_size": 9000, "get_size": 9000}, "cannot be had: RemoteProtocolError"),
        ({"status": 404}, "answers 404"),
        ({"headers": {"Content-Encoding": "gzip"}}, "comes compressed"),
        ({"status": 302, "headers": {"Location": "http://192.0.2.1/x"}}, "not https"),
        ({"status": 302, "headers": {"Location": "/again"}}, "in circles"),
    ],
)
def test_a_server_that_lies_is_caught_and_leaves_nothing(
    lie: dict[str, object], words: str, downloads: Downloads, web: Web, tmp_path: Path
) -> None:
    for name, value in lie.items():
        setattr(web, name, value)

    with pytest.raises(GpuleaseError, match=words) as caught:
        downloads.fetch(web.url)

    assert "secret" not in str(caught.value)
    assert not [one for one in (tmp_path / "data").rglob("*") if one.is_file()]


def test_a_server_without_head_is_asked_each_time(downloads: Downloads, web: Web) -> None:
    web.head_status = 405

    assert downloads.fetch(web.url) == downloads.fetch(web.url)
    assert web.asked.count("GET") == 2


def test_nothing_that_is_kept_holds_a_signed_url(
    downloads: Downloads, web: Web, tmp_path: Path
) -> None:
    downloads.fetch(web.url)

    for path in (tmp_path / "data").rglob("*"):
        assert "secret" not in path.name
        assert not path.is_file() or b"sig=secret" not in path.read_bytes()


def test_an_object_comes_whole_or_not_at_all(downloads: Downloads, store: MemoryStore) -> None:
    store.objects["bucket/sets/train.csv"] = b"text,label\n"

    assert downloads.fetch("s3://bucket/sets/train.csv").read_bytes() == b"text,label\n"
    with pytest.raises(UsageError, match="there is no"):
        downloads.fetch("s3://bucket/sets/other.csv")
    with pytest.raises(UsageError, match="must be s3://"):
        downloads.fetch("s3://B/x")


def test_an_object_that_is_shorter_than_it_said_is_caught(tmp_path: Path) -> None:
    class Short(MemoryStore):
        def head_object(self, *, Bucket: str, Key: str) -> dict[str, object]:  # noqa: N803
            return {"ContentLength": 100, "ETag": "x"}

    short = Short({"bucket/a.csv": b"abc"})
    downloads = Downloads(tmp_path, lambda: S3(short))

    with pytest.raises(ArtifactsError, match="said that it has 100 bytes, and sent 3"):
        downloads.fetch("s3://bucket/a.csv")


@pytest.mark.parametrize("url", ["http://host/x.csv", "https://ada:pw@host/x.csv", "https:///x"])
def test_what_is_not_safe_is_not_asked(url: str, downloads: Downloads) -> None:
    with pytest.raises(UsageError, match="by https only"):
        downloads.fetch(url)


def test_only_this_computer_may_speak_in_clear() -> None:
    assert is_safe("https://host/x")
    assert is_safe("http://127.0.0.1:8/x")
    assert not is_safe("http://localhost.evil/x")
    assert not is_safe("ftp://127.0.0.1/x")


def test_a_url_is_told_without_its_secrets() -> None:
    assert bare("https://a:b@host/x\x1b?y") == "'https://host/x\\x1b'"
