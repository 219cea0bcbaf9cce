"""Somebody on loopback who is told what happens to runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What was heard, and what is answered: `answers` in turn, then the last of them for ever.

    One that hangs takes every request, and says nothing until its sender gives up.
    """

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [204])
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hangs: bool = False
    held: int = 0  # requests whose senders wait now


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver that lives as long as the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            receiver.heard.append((dict(self.headers.items()), self.rfile.read(size)))
            if receiver.hangs:
                self.hang()
                return
            answers = receiver.answers
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def hang(self) -> None:
            receiver.held += 1
            with suppress(OSError):
                self.connection.recv(1)
            receiver.held -= 1
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
