"""An HTTP server on loopback whose answers a test writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def data(self) -> object:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer; `hang_up` closes the connection instead, `rest` is sent piece by piece."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    rest: Iterable[bytes] | None = None


def as_json(data: object, status: int = 200, **headers: str) -> Reply:
    kind = "application/json" if status < 400 else "application/problem+json"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(data).encode(), {"Content-Type": kind, **named})


def refusal(status: int, detail: str, **headers: str) -> Reply:
    return as_json({"title": "Refused", "status": status, "detail": detail}, status, **headers)


def page(status: int) -> Reply:
    """What something between us and the API says."""
    body = f"<html><body><h1>{status} from the edge</h1></body></html>".encode()
    return Reply(status, body, {"Content-Type": "text/html"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""


class LoopbackApi:
    """Answers with what `answer` gives, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Seen], Reply]) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                url = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                request = Seen(
                    self.command,
                    url.path,
                    dict(parse_qsl(url.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                api.seen.append(request)
                self.send(api.answer(request))

            def send(self, reply: Reply) -> None:
                self.close_connection = True
                if reply.hang_up:
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                for piece in reply.rest or ():
                    self.wfile.flush()
                    self.wfile.write(piece)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = handle_one  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
