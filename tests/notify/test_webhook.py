from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from orchestrator.errors import NotifyError, UsageError
from orchestrator.notify.webhook import Webhook, make_webhook, new_secret, to_key
from tests.runs.samples import NOW_S


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is told and answers with the class's status."""

    status: ClassVar[int] = 204
    heard: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        self.heard.append((dict(self.headers.items()), self.rfile.read(size)))
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def url() -> Iterator[str]:
    Receiver.status = 204
    Receiver.heard.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_receiver_can_verify_what_it_is_told(url: str) -> None:
    secret = new_secret()

    make_webhook(url, secret).post("r1.finished", b'{"schema":1}', NOW_S)

    ((headers, body),) = Receiver.heard
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("r1.finished", str(int(NOW_S)))
    assert (headers["content-type"], body) == ("application/json", b'{"schema":1}')


def test_without_a_secret_nothing_is_signed(url: str) -> None:
    make_webhook(url, None).post("r1.finished", b"{}", NOW_S)

    assert "webhook-signature" not in Receiver.heard[0][0]


@pytest.mark.parametrize("status", [302, 400, 500])
def test_only_a_2xx_is_accepted(url: str, status: int) -> None:
    Receiver.status = status

    with pytest.raises(NotifyError, match=f"answered {status}"):
        make_webhook(url, None).post("r1.finished", b"{}", NOW_S)

    assert len(Receiver.heard) == 1


def test_nobody_there_is_an_error_without_the_address() -> None:
    with pytest.raises(NotifyError, match="does not answer") as caught:
        Webhook("http://127.0.0.1:9/hook?token=s3cr3t").post("r1", b"{}", NOW_S)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "example.org/hook", "ftp://example.org", "https://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"notify\.webhook"):
        make_webhook(url, None)


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%"])
def test_a_weak_secret_is_refused_with_a_good_one(secret: str) -> None:
    with pytest.raises(UsageError, match="at least 24 bytes") as caught:
        to_key(secret)

    assert len(to_key(caught.value.hint.split()[-1])) == 24
