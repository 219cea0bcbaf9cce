"""A server of data on loopback that may lie about its size."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROWS = b'{"text": "a", "label": "b"}\n' * 100


class Web:
    """A server on loopback that may lie."""

    def __init__(self) -> None:
        self.data = ROWS
        self.head_size: int | None = None  # what HEAD says, where that is not the truth
        self.get_size: int | None = None
        self.status = 200
        self.head_status = 200
        self.headers: dict[str, str] = {"ETag": '"one"'}
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                web.asked.append("HEAD")
                self._head(web.head_status, web.head_size)

            def do_GET(self) -> None:
                web.asked.append("GET")
                self._head(web.status, web.get_size)
                self.wfile.write(web.data)

            def _head(self, status: int, size: int | None) -> None:
                self.send_response(status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(web.data) if size is None else size))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is told."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/data/train.jsonl?sig=secret"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
