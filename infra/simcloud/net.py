"""Loopback ports: a listener that can be cut and restored, and a relay in front of a machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 256 * 1024
_CONNECT_S = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s: closing resets the connection


class Listener:
    """A port of ours; each connection is served by a thread of its own.

    While it does not listen the port stays bound, so that connections are refused and nobody
    else gets the number.
    """

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        *,
        at: tuple[str, int] | None = None,
        listening: bool = True,
    ) -> None:
        """`at`: a loopback address and port of its own; None: a free port."""
        self._serve = serve
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._listening = False
        self._closed = False
        self._socket = socket.socket()
        self._socket.bind(at or (LOOPBACK, 0))
        # Not before bind, or it might share the number; connections inherit it, else `cut` could
        # not bind again while one of them is dying.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.host: str
        self.port: int
        self.host, self.port = self._socket.getsockname()
        if listening:
            self.open()

    def open(self) -> None:
        """Accept connections; does nothing when it already does, or was closed."""
        with self._lock:
            if self._listening or self._closed:
                return
            self._listening = True
            self._socket.listen(128)
            threading.Thread(target=self._accept, args=[self._socket], daemon=True).start()

    def cut(self) -> None:
        """End every connection and refuse new ones until `open`."""
        with self._lock:
            if self._closed:
                return
            if self._listening:
                self._listening = False
                _shut(self._socket)
                self._socket = socket.socket()
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind((self.host, self.port))
            self._end_all()

    def close(self) -> None:
        """End every connection and free the port; safe to repeat."""
        with self._lock:
            self._closed = True
            self._listening = False
            _shut(self._socket)
            self._end_all()

    def keep(self, connection: socket.socket) -> bool:
        """Count a connection among those that `cut` ends; false when it is too late."""
        with self._lock:
            if not self._listening:
                return False
            self._live.add(connection)
            return True

    def forget(self, connection: socket.socket) -> None:
        """Close a connection that `keep` took."""
        with self._lock:
            self._live.discard(connection)
        connection.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        if not self.keep(connection):
            reset(connection)
            return
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection)
        except OSError:
            pass  # the other side went away, or the connection was cut
        finally:
            self.forget(connection)

    def _end_all(self) -> None:
        for connection in self._live:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.shutdown(socket.SHUT_RDWR)


class Traffic:
    """Bytes that went into a machine and came out of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes_in = 0
        self.bytes_out = 0

    def add_in(self, count: int) -> None:
        """So many more went in."""
        with self._lock:
            self.bytes_in += count

    def add_out(self, count: int) -> None:
        """So many more came out."""
        with self._lock:
            self.bytes_out += count


class Relay:
    """Passes a loopback port on to `target`; `silent` accepts and never says a word."""

    def __init__(
        self,
        target: tuple[str, int] | None,
        *,
        at: tuple[str, int] | None = None,
        listening: bool = True,
        sent: Callable[[int], None] | None = None,
        answered: Callable[[int], None] | None = None,
    ) -> None:
        """`sent` and `answered` are told how many bytes went to the target and came back."""
        self.target = target
        self._sent, self._answered = sent, answered
        self.silent = False
        self._listener = Listener(self._serve, at=at, listening=listening)
        self.port = self._listener.port
        self.open = self._listener.open
        self.cut = self._listener.cut
        self.close = self._listener.close

    def _serve(self, client: socket.socket) -> None:
        if self.silent:
            while client.recv(_CHUNK_BYTES):
                pass
            return
        if self.target is None:
            return
        server = socket.create_connection(self.target, _CONNECT_S)
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._listener.keep(server):
            server.close()
            return
        back = threading.Thread(target=_copy, args=[server, client, self._answered], daemon=True)
        try:
            back.start()
            _copy(client, server, self._sent)
            back.join()
        finally:
            self._listener.forget(server)


def reset(connection: socket.socket) -> None:
    """Close so that the other side sees a reset, not an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


def _copy(source: socket.socket, sink: socket.socket, passed: Callable[[int], None] | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            if passed:
                passed(len(data))
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _shut(listening: socket.socket) -> None:
    # Closing alone does not wake a thread that waits in accept().
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
