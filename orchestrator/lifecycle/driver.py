"""The one background process of a home that moves its runs, and how to reach it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.world import Again
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

_THREADS = 8
_LOOK_S = 1.0  # how often new runs are looked for without a nudge
_LINGER_S = 1.0
_FAILED_S = 30.0
_FIRST_CLIENT_S = 2.0
_MESSAGE_BYTES = 1 << 20
_SOCKET_PATH_BYTES = 100  # sun_path holds 108


@dataclass(slots=True)
class _Chore:
    """One chore, and how it stands."""

    do: Callable[[], Again]
    due_s: float = 0.0
    future: Future[Again] | None = None
    spell: int = -1  # of runs or of quiet, in which it was last begun
    stays: bool = True

    def end(self, now_s: float) -> None:
        """Take what the chore gave back."""
        assert self.future is not None
        try:
            again = self.future.result()
        except Exception:  # a chore never ends the driver
            log.exception("a chore failed")
            again = Again(_FAILED_S, stays=False)
        self.future, self.stays, self.due_s = None, again.stays, now_s + again.seconds


class Driver:
    """Drives every open run of a home until none is left, nor a chore to stay for."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        clock: Clock,
        folder: Path,
        take_keys: Callable[[dict[str, str]], None],
        chores: Sequence[Callable[[], Again]] = (),
    ) -> None:
        """Nothing starts yet.

        Args:
            chores: done beside the runs, each when it asked to be, and once more when no run is
                open any longer.
        """
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._folder = folder
        self._take_keys = take_keys
        self._chores = [_Chore(do) for do in chores]
        self._wake = threading.Event()
        self._met = threading.Event()
        self._due: dict[str, float] = {}
        self._busy: dict[str, Future[float | None]] = {}
        self._nudged: set[str] = set()

    def serve(self) -> bool:
        """Drive until no run is open. False at once when another driver of this home lives."""
        with driver_lock(self._folder) as mine:
            if not mine:
                return False
            with self._listening(), ThreadPoolExecutor(_THREADS, "drive") as pool:
                self._met.wait(_FIRST_CLIENT_S)  # whoever started this hands over its keys
                self._loop(pool)
        return True

    def _loop(self, pool: ThreadPoolExecutor) -> None:
        idle_since_s: float | None = None
        spell = 0
        while True:
            self._wake.clear()
            now_s = self._clock.awake_s()
            self._reap()
            open_ids = self._journal.open_ids()
            for run_id in open_ids:
                due_s = 0.0 if run_id in self._nudged else self._due.get(run_id, 0.0)
                if run_id not in self._busy and due_s <= now_s:
                    self._nudged.discard(run_id)
                    future = pool.submit(self._engine.drive, run_id)
                    self._busy[run_id] = future
                    future.add_done_callback(lambda _: self._wake.set())
            has_runs = bool(open_ids or self._busy)
            spell += spell % 2 != has_runs  # odd while there are runs, even in quiet
            if self._do_chores(pool, now_s, spell) or has_runs:
                idle_since_s = None
            elif idle_since_s is None:
                idle_since_s = now_s
            elif now_s - idle_since_s >= _LINGER_S:
                return
            soonest_s = min(
                [self._due.get(one, now_s) for one in open_ids if one not in self._busy],
                default=now_s + _LOOK_S,
            )
            self._clock.wait(self._wake, max(0.01, min(_LOOK_S, soonest_s - now_s)))

    def _do_chores(self, pool: ThreadPoolExecutor, now_s: float, spell: int) -> bool:
        """Begin what is due; whether a driver without runs has to stay for any of it."""
        for chore in self._chores:
            if chore.future is not None and chore.future.done():
                chore.end(now_s)
            if chore.future is None and (chore.due_s <= now_s or chore.spell != spell):
                chore.spell = spell
                chore.future = pool.submit(chore.do)
                chore.future.add_done_callback(lambda _: self._wake.set())
        return any(chore.future is not None or chore.stays for chore in self._chores)

    def _reap(self) -> None:
        for run_id, future in list(self._busy.items()):
            if not future.done():
                continue
            del self._busy[run_id]
            try:
                seconds = future.result()
            except Exception:  # a store that cannot be written now may be writable later
                log.exception("a run could not be moved run=%s", run_id)
                seconds = 5.0
            self._due[run_id] = self._clock.awake_s() + (seconds or 0.0)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
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
            thread = threading.Thread(target=self._answer, args=(server,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def _answer(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError, ValueError):
                client.settimeout(5.0)
                self._obey(json.loads(_read_line(client)))
                client.sendall(b'{"ok": true}\n')

    def _obey(self, message: object) -> None:
        if not isinstance(message, dict):
            return
        keys = message.get("keys")
        if isinstance(keys, dict):
            self._take_keys({str(name): str(value) for name, value in keys.items()})
        if isinstance(message.get("nudge"), str):
            self._nudged.add(message["nudge"])
        self._met.set()
        self._wake.set()


@contextlib.contextmanager
def driver_lock(folder: Path) -> Iterator[bool]:
    """Whether this process is now the only driver of the home; held until the block ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "driver.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def driver_lives(folder: Path) -> bool:
    """Whether some process drives this home."""
    with driver_lock(folder) as free:
        return not free


def tell_driver(folder: Path, *, keys: dict[str, str], nudge: str = "") -> bool:
    """Hand keys and a nudge to the living driver; false when none answers."""
    message = {"keys": keys, **({"nudge": nudge} if nudge else {})}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5.0)
            client.connect(str(socket_path(folder)))
            client.sendall(json.dumps(message).encode() + b"\n")
            return b"ok" in client.recv(64)
    except OSError:
        return False


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


def _read_line(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _MESSAGE_BYTES:
        piece = client.recv(65_536)
        if not piece:
            break
        data += piece
    return data
