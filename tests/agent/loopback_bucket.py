"""A bucket on this computer, as far as signed PUTs need one: one signature for each key, faults."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from orchestrator.agent import protocol


@dataclass
class LoopbackBucket:
    """Takes one body after another under each key; `answer` may refuse a key by a status."""

    answer: Callable[[str], int] = lambda key: 200
    generation: int = 1  # signatures of an earlier one are refused
    objects: dict[str, bytes] = field(default_factory=dict)
    tries: list[str] = field(default_factory=list)  # keys, one for each PUT

    def __enter__(self) -> LoopbackBucket:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, key: str) -> str:
        """What may be written under the key, with the signature of this generation."""
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}/{key}?X-Amz-Signature={self._signature(key)}"

    def give_slots(self, work: Path, count: int = 8, *, part_bytes: int = 1 << 20) -> None:
        """Put a slots file with URLs of this generation into a work folder."""
        keys = [f"{protocol.SLOT_PREFIX}{number:05d}" for number in range(1, count + 1)]
        record = {
            "protocol": protocol.PROTOCOL,
            "part_bytes": part_bytes,
            "index": {"key": protocol.INDEX_FILE, "url": self.url(protocol.INDEX_FILE)},
            "slots": [{"key": key, "url": self.url(key)} for key in keys],
        }
        new = work / f"{protocol.SLOTS_FILE}.new"
        new.write_text(json.dumps(record))
        new.replace(work / protocol.SLOTS_FILE)

    def index(self) -> dict[str, Any]:
        """The index as it lies here; an empty one before there is any."""
        with self._lock:
            data = self.objects.get(protocol.INDEX_FILE, b'{"files": [], "others": []}')
        index = json.loads(data)
        assert isinstance(index, dict)
        return index

    def file(self, path: str) -> bytes | None:
        """A file put together again, as the index says; None where it names no such file."""
        index = self.index()
        for record in [*index["files"], *index["others"]]:
            if record["path"] == path:
                return b"".join(self._part(part) for part in record["parts"])
        return None

    def take(self, key: str, signature: str, body: bytes, headers: dict[str, str]) -> int:
        """The status with which a PUT is answered."""
        with self._lock:
            self.tries.append(key)
        if signature != self._signature(key):
            return 403
        if headers.get("content-md5") != base64.b64encode(hashlib.md5(body).digest()).decode():
            return 400
        status = self.answer(key)
        if status == 200:
            with self._lock:
                self.objects[key] = body
        return status

    def _part(self, part: dict[str, Any]) -> bytes:
        data = self.objects[part["key"]][part["offset"] : part["offset"] + part["size_bytes"]]
        assert len(data) == part["size_bytes"], "the index names what is not there"
        return data

    def _signature(self, key: str) -> str:
        return hashlib.sha256(f"{self.generation} {key}".encode()).hexdigest()


def _handler(bucket: LoopbackBucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parts = urlsplit(self.path)
            signature = parse_qs(parts.query).get("X-Amz-Signature", [""])[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = bucket.take(parts.path.strip("/"), signature, body, headers)
            said = b"" if status == 200 else b"<Error><Code>AccessDenied</Code></Error>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: a test says what it saw."""

    return Handler
