"""A Hugging Face hub on this computer, as far as a download needs one, with faults."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

ID = "acme/tiny"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass(slots=True)
class Seen:
    """One request."""

    server: str  # hub | cdn
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class Faults:
    """What goes wrong, each `times` times."""

    cut_after_bytes: int = 0
    corrupt: bool = False
    unavailable: bool = False
    times: int = 1


@dataclass
class LoopbackHub:
    """Serves `files` of one model; files of at least `lfs_bytes` lie on another host, as LFS."""

    files: Mapping[str, bytes]
    status: int = 200
    lfs_bytes: int = 4096
    says_hashes: bool = True
    faults: Faults | None = None
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> LoopbackHub:
        self._lock = threading.Lock()
        self._faults_left = self.faults.times if self.faults else 0
        self._hub = self._serve("hub")
        self._cdn = self._serve("cdn")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        """The hub's base URL."""
        return f"http://127.0.0.1:{self._hub.server_address[1]}"

    def model(self) -> dict[str, str]:
        """The run file's `model`."""
        return {"id": ID, "revision": REVISION, "endpoint": self.endpoint}

    def fetched(self) -> list[str]:
        """Names of the files that somebody asked for, sorted."""
        prefix = f"/{ID}/resolve/{REVISION}/"
        asked = {seen.path for seen in self.seen if seen.path.startswith(prefix)}
        return sorted(path[len(prefix) :] for path in asked)

    def take_fault(self) -> Faults | None:
        """The fault of this answer, if there is one left."""
        with self._lock:
            if not self._faults_left:
                return None
            self._faults_left -= 1
            return self.faults

    def listing(self) -> bytes:
        """The answer to a listing with `blobs=true`."""
        siblings = [self._sibling(name, data) for name, data in self.files.items()]
        return json.dumps({"sha": REVISION, "siblings": siblings}).encode()

    def cdn_url(self, name: str) -> str:
        """Where an LFS file lies. Another name of this computer: another host."""
        return f"http://localhost:{self._cdn.server_address[1]}/cdn/{name}"

    def _sibling(self, name: str, data: bytes) -> dict[str, object]:
        if not self.says_hashes:
            return {"rfilename": name}
        sibling: dict[str, object] = {"rfilename": name, "size": len(data)}
        if len(data) >= self.lfs_bytes:
            sibling["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        else:
            sibling["blobId"] = git_sha1(data)
        return sibling

    def _serve(self, name: str) -> ThreadingHTTPServer:
        hub = self

        class Handler(_Handler):
            owner = hub
            server_name = name

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


def git_sha1(data: bytes) -> str:
    """The hash under which git knows a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    owner: LoopbackHub
    server_name: str

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.owner.seen.append(Seen(self.server_name, path, dict(self.headers)))
        if self.owner.status != 200:
            self._answer(self.owner.status, b"", {"X-Error-Code": "RepoNotFound"})
        elif path == f"/api/models/{ID}/revision/{REVISION}":
            self._answer(200, self.owner.listing(), {"Content-Type": "application/json"})
        elif self.server_name == "cdn":
            self._send(self.owner.files[path.removeprefix("/cdn/")], {"ETag": '"cdn"'})
        else:
            self._resolve(path.removeprefix(f"/{ID}/resolve/{REVISION}/"))

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _resolve(self, name: str) -> None:
        data = self.owner.files.get(name)
        if data is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif len(data) >= self.owner.lfs_bytes:
            sha256 = hashlib.sha256(data).hexdigest()
            headers = {"Location": self.owner.cdn_url(name), "X-Linked-ETag": f'"{sha256}"'}
            self._answer(302, b"", {**headers, "X-Linked-Size": str(len(data))})
        else:
            self._send(data, {"ETag": f'"{git_sha1(data)}"'})

    def _send(self, data: bytes, headers: dict[str, str]) -> None:
        asked = self.headers.get("Range")
        offset = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        fault = self.owner.take_fault()
        if fault and fault.unavailable:
            self._answer(503, b"<html>busy</html>", {})
            return
        body = data[offset:]
        if fault and fault.corrupt:
            body = bytes(byte ^ 1 for byte in body)
        if asked:
            headers["Content-Range"] = f"bytes {offset}-{len(data) - 1}/{len(data)}"
        cut_bytes = fault.cut_after_bytes if fault else 0
        self._answer(206 if asked else 200, body, headers, cut_bytes)

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str], cut_bytes: int = 0
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut_bytes] if cut_bytes else body)
