"""Stands between the commands and a provider's API, and kills the caller at a call."""

from __future__ import annotations

import re
import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from tests.crash.process_points import AFTER, BEFORE, Tally
from tests.crash.process_watch import who_am_i

_PIECE_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(
    r"(?<=/pods/)[^/?]+|(?<=/asks/)\d+|(?<=/instances/)(?:[0-9a-f]{32}|\d+)"
    r"|(?<=/request_logs/)\d+|(?<=/(?:machines|ssh-keys)/)[^/?]+|(?<=/startup-scripts/)[^/?]+"
)


class Relay:
    """A loopback server in front of `url`; HTTP/1.1 goes through it byte by byte.

    Before: the request never leaves. After: the provider did what was asked, and nobody hears it.
    """

    def __init__(self, url: str, tally: Tally) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)
        self._tally = tally
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"127.0.0.1:{self._server.getsockname()[1]}").geturl()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._target) as cloud:
            _Conversation(client, cloud, self._tally).go_on()


class _Conversation:
    """One connection: a request, its answer, the next request."""

    def __init__(self, client: socket.socket, cloud: socket.socket, tally: Tally) -> None:
        self._client = client
        self._cloud = cloud
        self._tally = tally
        self._caller: psutil.Process | None = None
        self._who = ""

    def go_on(self) -> None:
        asked, act = b"", ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._client, selectors.EVENT_READ)
            selector.register(self._cloud, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(_PIECE_BYTES)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is self._client:
                        asked += data
                        if not _is_whole(asked):
                            continue
                        act = _act(asked)
                        if self._dies(act, BEFORE):
                            return
                        self._cloud.sendall(asked)
                        asked = b""
                    else:
                        if act and self._dies(act, AFTER):
                            return
                        act = ""
                        self._client.sendall(data)

    def _dies(self, act: str, moment: str) -> bool:
        if self._caller is None:
            self._caller, self._who = _owner(self._client)
        if self._caller is None:
            return False
        if not self._tally.meet(self._who, act, moment, self._caller.pid):
            return False
        with suppress(psutil.NoSuchProcess):
            self._caller.wait(10)
        return True


def _is_whole(asked: bytes) -> bool:
    head, end, body = asked.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def _act(asked: bytes) -> str:
    method, target, _ = asked.split(b"\r\n", 1)[0].decode().split(" ")
    path = target.partition("?")[0].removeprefix("/v2").removeprefix("/api")
    return f"{method} {_ID.sub('ID', path)}"


def _owner(client: socket.socket) -> tuple[psutil.Process | None, str]:
    """The watched process at the other end of a connection, and what kind it is."""
    port = client.getpeername()[1]
    ends = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            ends.add(f"socket:[{fields[9]}]")
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            who = who_am_i(process.cmdline())
            if who and ends.intersection(_open_files(process.pid)):
                return process, who
    return None, ""


def _open_files(pid: int) -> list[str]:
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            names.append(str(descriptor.readlink()))
    return names
