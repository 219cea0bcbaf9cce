"""The model, from a Hugging Face hub over its public HTTP routes, verified file by file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
import urllib.response
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO, Callable

from .records import Record
from .runfile import Model

_USER_AGENT = "gpulease-agent/1"
_TIMEOUT_S = 60.0
_ATTEMPTS = 6
_REDIRECTS = 5
_FILES_AT_ONCE = 4  # one connection to a CDN does not fill a data centre's line
_BLOCK_BYTES = 1 << 20
_PART = ".part"
_LISTING_LIMIT_BYTES = 64 << 20
_FINAL = (400, 401, 403, 404, 410)

_OTHER_FOLDERS = ("onnx", "openvino", "coreml", "original", "tflite")
_OTHER_FORMATS = (".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".gguf", ".mlmodel")
_SHARD = re.compile(r"(^|/)model[^/]*\.safetensors$")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class DownloadFailed(Exception):
    """The model cannot be had; the text says why, in one paragraph."""


class _Again(Exception):
    """This attempt failed; another one may work."""


@dataclass
class HubFile:
    """One file of a model; None: the hub did not say."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


class Hub:
    """Downloads models. `wait` sleeps some seconds and is true when the download shall end."""

    def __init__(self, endpoint: str, token: str | None, wait: Callable[[float], bool]) -> None:
        self._endpoint = endpoint
        self._token = token
        self._wait = wait
        self._ended = threading.Event()
        self._opener = urllib.request.build_opener(_NoRedirect)

    def download(self, model: Model, folder: Path) -> int:
        """Fetch what a program needs of `model` into `folder`; the bytes that it took.

        Raises DownloadFailed, OSError. Ends early, without an error, when `wait` says so.
        """
        files = needed_files(self._list(model))
        if not files:
            raise DownloadFailed(f"{model.id} has no files at {model.revision}")
        size_bytes = sum(file.size_bytes or 0 for file in files)
        folder.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(str(folder)).free
        if size_bytes > free_bytes:
            raise DownloadFailed(
                f"{model.id} needs {size_bytes} bytes and the disk has {free_bytes} left: "
                "No space left on device"
            )
        _drop_others(folder, files)
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            tasks = [pool.submit(self._fetch, model, file, folder) for file in files]
            return sum(task.result() for task in tasks)

    def _list(self, model: Model) -> list[HubFile]:
        url = f"{self._endpoint}/api/models/{_quote(model.id)}/revision/{_quote(model.revision)}"
        problem = ""
        for attempt in range(_ATTEMPTS):
            try:
                _, answer = self._open(f"{url}?blobs=true", 0)
                with answer:
                    return _siblings(json.loads(answer.read(_LISTING_LIMIT_BYTES).decode()))
            except (_Again, OSError, ValueError) as error:
                problem = _words(error)
            if self._pause(attempt):
                return []
        raise DownloadFailed(f"{model.id} cannot be listed on {self._endpoint}: {problem}")

    def _fetch(self, model: Model, file: HubFile, folder: Path) -> int:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + _PART)
        if file.size_bytes and _size_bytes(path) == file.size_bytes:
            path.replace(part)  # an earlier job of this machine had it: checked, not fetched again
        url = (
            f"{self._endpoint}/{_quote(model.id)}/resolve/{_quote(model.revision)}"
            f"/{_quote(file.path)}"
        )
        try:
            attempt = 0
            while not self._ended.is_set():
                had_bytes = _size_bytes(part)
                try:
                    size_bytes = self._attempt(url, file, part)
                    part.replace(path)
                    return size_bytes
                except _Again as error:
                    # An attempt that brought something is no failed one.
                    attempt = 0 if _size_bytes(part) > had_bytes else attempt + 1
                    if attempt == _ATTEMPTS:
                        raise DownloadFailed(f"{model.id}: {file.path}: {error}") from error
                self._pause(attempt)
            return 0
        except BaseException:
            self._ended.set()
            raise

    def _attempt(self, url: str, file: HubFile, part: Path) -> int:
        """Get what is missing of one file, then check all of it."""
        have_bytes = _size_bytes(part)
        if have_bytes and have_bytes == file.size_bytes:
            return _check(file, part)
        try:
            first, answer = self._open(url, have_bytes)
        except (OSError, ValueError) as error:
            raise _Again(_words(error)) from error
        with answer:
            _learn(file, first)
            resumed = answer.getcode() == 206 and _starts_at(answer.headers, have_bytes)
            length = answer.headers.get("Content-Length") or ""
            if file.size_bytes is None and length.isdigit():
                file.size_bytes = int(length) + (have_bytes if resumed else 0)
            with part.open("ab" if resumed else "wb") as out:
                self._copy(answer, out)
        if self._ended.is_set():
            raise _Again("ended")
        return _check(file, part)

    def _copy(self, answer: IO[bytes], out: IO[bytes]) -> None:
        while not self._ended.is_set():
            try:
                block = answer.read(_BLOCK_BYTES)
            except OSError as error:
                raise _Again(_words(error)) from error
            except Exception as error:  # http.client.IncompleteRead is no OSError
                raise _Again(f"{type(error).__name__}: {error}") from error
            if not block:
                return
            out.write(block)
            if self._wait(0):
                self._ended.set()

    def _open(self, url: str, offset: int) -> tuple[Message, urllib.response.addinfourl]:
        """The first answer's headers and the last answer of a chain of redirects.

        The token goes to the hub alone: a redirect may lead anywhere.
        """
        home = urllib.parse.urlsplit(self._endpoint)[:2]
        first: Message | None = None
        for _ in range(_REDIRECTS):
            request = urllib.request.Request(url, headers={"User-Agent": _USER_AGENT})
            request.add_header("Accept-Encoding", "identity")
            if offset:
                request.add_header("Range", f"bytes={offset}-")
            if self._token and urllib.parse.urlsplit(url)[:2] == home:
                request.add_header("Authorization", f"Bearer {self._token}")
            try:
                answer = self._opener.open(request, timeout=_TIMEOUT_S)
                return first or answer.headers, answer
            except urllib.error.HTTPError as error:
                first = first or error.headers
                url = _next_url(url, error)
        raise _Again("too many redirects")

    def _pause(self, attempt: int) -> bool:
        if self._wait(min(8.0, 0.25 * 2**attempt)):
            self._ended.set()
        return self._ended.is_set()


def needed_files(files: list[HubFile]) -> list[HubFile]:
    """Without the same weights in other formats: safetensors, where a folder has them."""
    safe = {_parent(file) for file in files if file.path.endswith(".safetensors")}
    named = {_parent(file) for file in files if _SHARD.search(file.path)}

    def is_needed(file: HubFile) -> bool:
        path = PurePosixPath(file.path)
        if path.parts[0] in _OTHER_FOLDERS or path.name in (".gitattributes", ".gitignore"):
            return False
        if path.suffix in _PICKLES:
            return _parent(file) not in safe
        if path.name.startswith("consolidated") and path.suffix == ".safetensors":
            return _parent(file) not in named
        return path.suffix not in _OTHER_FORMATS

    needed = [file for file in files if is_needed(file)]
    weights = (".safetensors", *_PICKLES)
    if any(file.path.endswith(weights) for file in needed):
        return needed
    return files  # a repository of one of the other formats


def _drop_others(folder: Path, files: list[HubFile]) -> None:
    """Remove what is not of the model: a program of an earlier job may have written beside it."""
    wanted = {folder / file.path for file in files}
    wanted |= {path.with_name(path.name + _PART) for path in wanted}
    for path in folder.rglob("*"):
        if path not in wanted and (path.is_symlink() or not path.is_dir()):
            path.unlink()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _next_url(url: str, error: urllib.error.HTTPError) -> str:
    """Where a redirect leads; raises for every other error status."""
    with error:
        location = error.headers.get("Location")
        if error.code in (301, 302, 303, 307, 308) and location:
            target = urllib.parse.urljoin(url, location)
            if urllib.parse.urlsplit(target).scheme in ("http", "https"):
                return target
        code = error.headers.get("X-Error-Code") or error.reason
        said = f"{error.code} {code}"
        if error.code in (401, 403):
            said += ": a gated or private model needs a token (HF_TOKEN) with access to it"
        if error.code in _FINAL:
            raise DownloadFailed(f"{urllib.parse.urlsplit(url).netloc} answers {said}") from error
        raise _Again(said) from error


def _siblings(answer: object) -> list[HubFile]:
    siblings = answer.get("siblings") if isinstance(answer, dict) else None
    if not isinstance(siblings, list):
        raise ValueError("the listing has no files")
    return [_to_file(sibling) for sibling in siblings]


def _to_file(sibling: object) -> HubFile:
    record: Record = sibling if isinstance(sibling, dict) else {}
    path = record.get("rfilename")
    if not isinstance(path, str) or not path or re.search(r"[\x00-\x1f\\]", path):
        raise DownloadFailed(f"the hub names an impossible file: {path!r}")
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise DownloadFailed(f"the hub names a file outside of the model: {path!r}")
    file = HubFile(path)
    size, lfs, blob = record.get("size"), record.get("lfs"), record.get("blobId")
    if isinstance(size, int):
        file.size_bytes = size
    if isinstance(lfs, dict) and isinstance(lfs.get("sha256"), str):
        file.sha256 = lfs["sha256"]
    elif isinstance(blob, str) and size is not None:
        file.git_sha1 = blob
    return file


def _learn(file: HubFile, headers: Message) -> None:
    """What the hub's own answer, before any redirect, says of size and content."""
    tag = (headers.get("X-Linked-ETag") or headers.get("ETag") or "").strip()
    tag = re.sub(r'^W/|"', "", tag)
    if file.sha256 is None and re.fullmatch(r"[0-9a-f]{64}", tag):
        file.sha256 = tag
    elif file.sha256 is None and file.git_sha1 is None and re.fullmatch(r"[0-9a-f]{40}", tag):
        file.git_sha1 = tag
    linked = headers.get("X-Linked-Size") or ""
    if file.size_bytes is None and linked.isdigit():
        file.size_bytes = int(linked)


def _check(file: HubFile, part: Path) -> int:
    """Compare size and hash; a wrong file is removed, a short one kept to be resumed."""
    size_bytes = part.stat().st_size
    if file.size_bytes is not None and size_bytes < file.size_bytes:
        raise _Again(f"the connection ended after {size_bytes} of {file.size_bytes} bytes")
    wanted = file.sha256 or file.git_sha1
    if wanted is not None:
        digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % size_bytes)
        with part.open("rb") as content:
            for block in iter(lambda: content.read(_BLOCK_BYTES), b""):
                digest.update(block)
        if digest.hexdigest() != wanted:
            part.unlink()
            raise _Again("its content does not match the hub's checksum")
    elif file.size_bytes is not None and size_bytes != file.size_bytes:
        part.unlink()
        raise _Again(f"it has {size_bytes} bytes instead of {file.size_bytes}")
    return size_bytes


def _starts_at(headers: Message, offset: int) -> bool:
    return (headers.get("Content-Range") or "").startswith(f"bytes {offset}-")


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _parent(file: HubFile) -> str:
    return str(PurePosixPath(file.path).parent)


def _quote(path: str) -> str:
    return urllib.parse.quote(path, safe="/")


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or "") or str(error) or type(error).__name__
