"""What the driver of a home and others of this user say to each other, over a private socket.

One JSON object a line, one question and one answer a connection; unknown fields are ignored, so
that versions understand each other. A question has `keys` (name → value, into memory only),
`nudge` (a run whose wish changed), or `successor` (the version that wants to take over).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import HomeError

_PATIENCE_S = 5.0
_MESSAGE_BYTES = 1 << 20
_SOCKET_PATH_BYTES = 100  # sun_path holds 108


@dataclass(frozen=True, slots=True)
class Answer:
    """What a living driver said."""

    version: str = ""  # "" where it was not said
    leaves: bool = False  # a successor waits already
    keys: dict[str, list[str]] = field(default_factory=dict, repr=False)  # for a successor alone


def tell_driver(folder: Path, *, keys: Mapping[str, str], nudge: str = "") -> Answer | None:
    """Hand keys and a nudge to the living driver; None when none answers."""
    message = {"keys": dict(keys), **({"nudge": nudge} if nudge else {})}
    return _ask(folder, message, _PATIENCE_S)


def ask_to_leave(folder: Path, version: str, patience_s: float) -> Answer | None:
    """Have the living driver end between two effects, and take over its keys.

    Returns: None when it does not leave: another successor was first, or it is busy for longer
    than `patience_s`. It goes on as before then, as it does when the asking process dies.
    """
    answer = _ask(folder, {"successor": version}, patience_s)
    return answer if answer is not None and answer.leaves else None


class Line:
    """The driver's end of the socket."""

    def __init__(
        self, folder: Path, version: str, obey: Callable[[Mapping[str, object]], None]
    ) -> None:
        self._folder = folder
        self._version = version
        self._obey = obey
        self._lock = threading.Lock()
        self._successor: socket.socket | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Listen until the block ends."""
        path = socket_path(self._folder)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            before = os.umask(0o177)
            try:
                server.bind(str(path))
            finally:
                os.umask(before)
            server.listen(16)
            threading.Thread(target=self._answer_all, args=(server,), daemon=True).start()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                self._drop_successor()

    def has_successor(self) -> bool:
        """Whether somebody waits for this driver to leave, and still lives."""
        with self._lock:
            if self._successor is None:
                return False
            if not select.select([self._successor], [], [], 0)[0]:
                return True
        self._drop_successor()  # it hung up
        return False

    def leave(self, keys: Mapping[str, Sequence[str]]) -> bool:
        """Give the successor its word and the keys; false when it is gone: then nobody leaves."""
        with self._lock:
            client, self._successor = self._successor, None
        if client is None:
            return False
        with client:
            try:
                client.sendall(self._words(leaves=True, keys=dict(keys)))
            except OSError:
                return False
        return True

    def _answer_all(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, ValueError):
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as closing:
            closing.enter_context(client)
            client.settimeout(_PATIENCE_S)
            message = json.loads(_read_line(client))
            if not isinstance(message, dict):
                return
            if not isinstance(message.get("successor"), str):
                self._obey(message)
                client.sendall(self._words(leaves=self.has_successor()))
                return
            if self.has_successor():
                client.sendall(self._words(leaves=False))
                return
            with self._lock:
                self._successor = client
            closing.pop_all()  # answered when nothing is under way
        self._obey({})

    def _words(self, *, leaves: bool, **more: object) -> bytes:
        answer = {"ok": True, "version": self._version, "leaves": leaves, **more}
        return json.dumps(answer).encode() + b"\n"

    def _drop_successor(self) -> None:
        with self._lock:
            client, self._successor = self._successor, None
        if client is not None:
            client.close()


def socket_path(folder: Path) -> Path:
    """The driver's socket, in a short private folder where the home's own path is too long."""
    path = folder / "driver.sock"
    if len(str(path).encode()) <= _SOCKET_PATH_BYTES:
        return path
    short = Path(tempfile.gettempdir()) / f"gpulease-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    facts = short.lstat()
    if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o077:
        raise HomeError(f"{short} belongs to somebody else", hint="use a shorter GPULEASE_HOME")
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return short / f"{name}.sock"


def _ask(folder: Path, message: Mapping[str, object], patience_s: float) -> Answer | None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_PATIENCE_S)
            client.connect(str(socket_path(folder)))
            client.sendall(json.dumps(message).encode() + b"\n")
            client.settimeout(patience_s)
            said = json.loads(_read_line(client))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("ok") is not True:
        return None
    keys = said.get("keys")
    found: dict[str, list[str]] = {}
    for name, values in keys.items() if isinstance(keys, dict) else ():
        found[str(name)] = [str(one) for one in values] if isinstance(values, list) else []
    return Answer(str(said.get("version", "")), said.get("leaves") is True, found)


def _read_line(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _MESSAGE_BYTES:
        piece = client.recv(65_536)
        if not piece:
            break
        data += piece
    return data
