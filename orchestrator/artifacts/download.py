"""Data of a job that lies elsewhere: brought home once, whole, and checked like a local file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from orchestrator.artifacts.disk import disk_errors, sync_folder, write_durably
from orchestrator.artifacts.s3 import S3
from orchestrator.errors import ArtifactsError, UsageError
from orchestrator.remote.paths import shown
from orchestrator.spec.place import parse_place

if TYPE_CHECKING:
    import httpx

_SPARE_BYTES = 1 << 30
_REDIRECTS = 5
_BLOCK_BYTES = 1 << 20
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class _Source:
    """What a server says before it sends: a size, and what changes with the content."""

    size_bytes: int | None
    validator: str
    stream: Callable[[], contextlib.AbstractContextManager[Iterator[bytes]]]


class Downloads:
    """A folder of fetched files, each under the hash of its content, so that none ever changes."""

    def __init__(self, folder: Path, open_s3: Callable[[], S3]) -> None:
        self._folder = folder
        self._open_s3 = open_s3

    def fetch(self, url: str) -> Path:
        """The file at `s3://bucket/key` or `https://…`; once fetched, only asked whether it is new.

        The URL may be a secret (a signed one): no file and no error holds more than its path.

        Raises: UsageError, ArtifactsError, BucketRefused, BucketDown.
        """
        known = self._folder / "by-url" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
        with self._opened(url) as source:
            kept = _kept(known, source.validator)
            if kept is not None:
                return kept
            path = self._bring(url, source)
        record = {"validator": source.validator, "path": str(path)}
        write_durably(known.parent, known.name, json.dumps(record).encode())
        return path

    def _bring(self, url: str, source: _Source) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        room_bytes = shutil.disk_usage(self._folder).free - _SPARE_BYTES
        limit_bytes = room_bytes if source.size_bytes is None else source.size_bytes
        if limit_bytes > room_bytes:
            raise UsageError(
                f"{bare(url)} has {limit_bytes / 2**30:.1f} GiB, and {room_bytes / 2**30:.1f} GiB "
                "can be had at home"
            )
        part = self._folder / f".incoming-{secrets.token_hex(8)}"
        digest, size_bytes = hashlib.sha256(), 0
        try:
            with disk_errors(part.name), part.open("xb") as file, source.stream() as pieces:
                for piece in pieces:
                    size_bytes += len(piece)
                    if size_bytes > limit_bytes:
                        break
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if source.size_bytes is not None and size_bytes != source.size_bytes:
                more = "more" if size_bytes > source.size_bytes else f"{size_bytes}"
                raise ArtifactsError(
                    f"{bare(url)} said that it has {source.size_bytes} bytes, and sent {more}"
                )
            if size_bytes > limit_bytes:
                raise UsageError(f"{bare(url)} does not say how large it is, and is too large")
            folder = self._folder / digest.hexdigest()[:32]
            folder.mkdir(exist_ok=True)
            target = folder / _name(url)
            part.replace(target)
            sync_folder(folder)
            return target
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened(self, url: str) -> Iterator[_Source]:
        if url.startswith("s3://"):
            yield self._object(url)
            return
        if not is_safe(url) or "@" in urlsplit(url).netloc:
            raise UsageError(
                "data is fetched by https only, without a name and password in the URL"
            )
        import httpx

        headers = {"Accept-Encoding": "identity"}
        timeout = httpx.Timeout(60.0, connect=15.0)
        try:
            with httpx.Client(headers=headers, timeout=timeout) as client:
                yield _web(client, url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ArtifactsError(f"{bare(url)} cannot be had: {type(error).__name__}") from None

    def _object(self, url: str) -> _Source:
        try:
            place = parse_place(url)
        except ValueError as error:
            raise UsageError(f"{bare(url)} {error}") from error
        store = self._open_s3()
        facts = store.facts(place)
        if facts is None:
            raise UsageError(f"there is no {shown(str(place))}")
        size_bytes, tag = facts

        @contextlib.contextmanager
        def stream() -> Iterator[Iterator[bytes]]:
            yield store.stream(place, 0, size_bytes)

        return _Source(size_bytes, tag, stream)


def bare(url: str) -> str:
    """A URL without what may be secret in it.

    >>> bare("https://ada:x@host/data.jsonl?X-Amz-Signature=abc")
    'https://host/data.jsonl'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    text = f"{parts.scheme}://{host}{parts.path}"
    return text if text.isprintable() else shown(text)


def _web(client: httpx.Client, url: str) -> _Source:
    """What HEAD says, where the server knows HEAD; the answer to GET must not say otherwise."""
    head = _follow(client, "HEAD", url)
    said = _length(head) if head.status_code == 200 else None
    tag = head.headers.get("ETag") or head.headers.get("Last-Modified") or ""
    validator = f"{said} {tag}" if head.status_code == 200 and tag else ""
    head.close()

    @contextlib.contextmanager
    def stream() -> Iterator[Iterator[bytes]]:
        answer = _follow(client, "GET", url)
        try:
            if answer.status_code != 200:
                raise UsageError(f"{bare(url)} answers {answer.status_code}")
            length = _length(answer)
            if said is not None and length is not None and length != said:
                raise ArtifactsError(
                    f"{bare(url)} said that it has {said} bytes, and then {length}"
                )
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise UsageError(f"{bare(url)} comes compressed, though nobody asked for that")
            yield answer.iter_raw(_BLOCK_BYTES)
        finally:
            answer.close()

    return _Source(said, validator, stream)


def _follow(client: httpx.Client, method: str, url: str) -> httpx.Response:
    """The answer behind redirects; never from https to what is not encrypted."""
    asked = url
    for _ in range(_REDIRECTS):
        answer = client.send(client.build_request(method, asked), stream=True)
        location = answer.headers.get("Location")
        if answer.status_code not in (301, 302, 303, 307, 308) or not location:
            return answer
        answer.close()
        asked = urljoin(asked, location)
        if not is_safe(asked):
            raise UsageError(f"{bare(url)} leads to a place that is not https")
    raise UsageError(f"{bare(url)} leads in circles")


def is_safe(url: str) -> bool:
    """Encrypted, or on this computer."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _length(answer: httpx.Response) -> int | None:
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None


def _kept(known: Path, validator: str) -> Path | None:
    """The file as it was fetched before, while its server says that it is the same."""
    if not validator:
        return None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads(known.read_bytes())
        path = Path(record["path"])
        if record["validator"] == validator and path.is_file():
            return path
    return None


def _name(url: str) -> str:
    """The file's own name, whose ending says its format."""
    name = urlsplit(url).path.rpartition("/")[2]
    ending = Path(name).suffix
    if _PLAIN.fullmatch(name):
        return name
    return f"data{ending}" if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", ending) else "data"
