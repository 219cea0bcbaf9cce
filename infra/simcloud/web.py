"""A small HTTP/1.1 server: one function answers, or holds, or cuts the connection."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.simcloud.net import LOOPBACK, Listener, reset

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_LARGEST_BODY_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's segments, decoded.

        >>> Request("GET", "/gpus/NVIDIA%20L4", {}, {}, b"").parts
        ('gpus', 'NVIDIA L4')
        """
        return tuple(unquote(part) for part in self.path.split("/") if part)


@dataclass(frozen=True, slots=True)
class Reply:
    """What it gets: a body, or events without end, or nothing after `hold_s`."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    # An empty event is a moment to notice that the client left.
    events: Iterator[bytes] | None = None
    cut: bool = False
    hold_s: float = 0.0


Answer = Callable[[Request], Reply]


def json_reply(data: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`data` as JSON."""
    base = {"Content-Type": "application/json"}
    return Reply(status, json.dumps(data).encode(), base | dict(headers or {}))


class Server:
    """Serves `answer` on a free loopback port until closed."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._closing = threading.Event()
        self._listener = Listener(self._serve)
        self.port = self._listener.port
        self.url = f"http://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Cut every connection and free the port; safe to repeat."""
        self._closing.set()
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        _Handler(connection, self._answer, self._closing)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive from request to request."""

    protocol_version = "HTTP/1.1"
    server_version = "simcloud"
    sys_version = ""
    wbufsize = -1  # one packet per answer
    timeout = None

    def __init__(self, connection: socket.socket, answer: Answer, closing: threading.Event) -> None:
        self._answer = answer
        self._closing = closing
        super().__init__(connection, (LOOPBACK, 0), None)  # type: ignore[arg-type]  # no server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr: the world keeps its calls."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY_BYTES:
            self.close_connection = True
            self.send_error(413)
            return
        split = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=split.path,
            query=dict(parse_qsl(split.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        self._send(self._answer(request))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _send(self, reply: Reply) -> None:
        if reply.cut:
            self._closing.wait(reply.hold_s)
            self.close_connection = True
            reset(self.connection)
            return
        if reply.events is not None:
            self._stream(reply, reply.events)
            return
        self._head(reply)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _stream(self, reply: Reply, events: Iterator[bytes]) -> None:
        """The head goes out with the first event, and nothing tells the end."""
        self.close_connection = True
        started = False
        for event in events:
            if self._closing.is_set() or _has_left(self.connection):
                return
            if event and not started:
                started = True
                self._head(reply)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
            if event:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.wfile.flush()

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)


def _has_left(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
