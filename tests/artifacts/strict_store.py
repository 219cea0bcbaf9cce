"""An S3 store on loopback that looks at clocks and at signed URLs, as the real one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.artifacts.signature import is_good

KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-test"}
_SKEW_S = 900  # docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: RequestTimeTooSkewed
_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@dataclass
class StrictStore:
    """Takes one request after another; `ahead_s` is how far its clock is ahead of ours."""

    ahead_s: float = 0.0
    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    signed: list[str] = field(default_factory=list)  # methods of requests with a signed URL
    denies: str = ""  # a method that the account has no right to

    def refusal(self, method: str, path: str, headers: dict[str, str]) -> str:
        """The error code for a request that is not to be taken; empty when it is."""
        if method == self.denies:
            return "AccessDenied"
        now_s = time.time() + self.ahead_s
        if "X-Amz-Signature=" in path:
            self.signed.append(method)
            secret = KEYS["AWS_SECRET_ACCESS_KEY"]
            good = is_good(f"{self.url}{path}", secret, method=method, at_s=now_s)
            return "" if good else "AccessDenied"
        said = headers.get("x-amz-date", "19700101T000000Z")
        when = datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return "RequestTimeTooSkewed" if abs(when.timestamp() - now_s) > _SKEW_S else ""


@contextmanager
def strict_store(ahead_s: float = 0.0) -> Iterator[StrictStore]:
    """The store while the block lasts."""
    store = StrictStore(ahead_s)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store))
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


def _handler(store: StrictStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if code := store.refusal(self.command, self.path, headers):
                return self.answer(403, f"<Error><Code>{code}</Code></Error>".encode())
            key = urlsplit(self.path).path.strip("/")
            if self.command == "PUT":
                store.objects[key] = body
                return self.answer(200)
            if self.command == "DELETE":
                store.objects.pop(key, None)
                return self.answer(204)
            if "list-type=2" in self.path:
                return self.answer(200, _LIST)
            if key not in store.objects:
                return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return self.answer(200, store.objects[key])

        def answer(self, status: int, said: bytes = b"") -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PUT = do_DELETE = handle_one  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: a test says what it saw."""

    return Handler
