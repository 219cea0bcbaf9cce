"""A child process whose pipes are never waited for longer than told."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.clock import Clock, SystemClock

CHUNK_BYTES = 256 * 1024
SLOWEST_BYTES_PER_S = 20_000  # of a line that is worth waiting for
_END_S = 5.0


class Stalled(Exception):
    """Nothing could be read or written in time."""


class Patience:
    """How much of a time limit is left. Real time: a pipe knows no simulated clock."""

    def __init__(self, seconds: float, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._until_s = self._clock.awake_s() + seconds

    def left_s(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self._until_s - self._clock.awake_s())


class Child:
    """One process in a session of its own, with non-blocking pipes to its three descriptors.

    stderr is read whenever anything is waited for; `stderr` keeps its first bytes.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stderr_limit_bytes: int = 64 * 1024,
    ) -> None:
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        self._stderr = self._process.stderr.fileno()
        for descriptor in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
        self._stderr_limit_bytes = stderr_limit_bytes
        self._stderr_open = True
        self._stdin_open = True
        self._is_wide = False
        self.stderr = bytearray()

    def send(self, data: bytes, *, stall_s: float) -> None:
        """Write all of `data`. Raises: Stalled, BrokenPipeError.

        Whoever takes a little now and then, slower than any line, has stalled too.
        """
        view = memoryview(data)
        whole = Patience(stall_s + len(data) / SLOWEST_BYTES_PER_S)
        while view:
            taken = self.write_some(view)
            view = view[taken:]
            if not taken:
                patience = Patience(min(stall_s, whole.left_s()))
                self.wait(reading=False, writing=True, patience=patience)

    def receive(self, limit: int, *, stall_s: float) -> bytes:
        """Some bytes of stdout, at most `limit`; empty at its end. Raises: Stalled."""
        patience = Patience(stall_s)
        while (data := self.read_some(limit)) is None:
            self.wait(reading=True, writing=False, patience=patience)
        return data

    def expect(self, size_bytes: int) -> None:
        """Let stdout's pipe hold more where more will come, so that less is waited for.

        Only then: Linux shrinks every new pipe of a user whose pipes may hold 64 MiB, which are
        256 of these.
        """
        if size_bytes > CHUNK_BYTES and not self._is_wide and hasattr(fcntl, "F_SETPIPE_SZ"):
            self._is_wide = True
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)

    def wait(self, *, reading: bool, writing: bool, patience: Patience) -> tuple[bool, bool]:
        """Wait until stdout has something or stdin takes something. Raises: Stalled."""
        with selectors.DefaultSelector() as selector:
            if reading:
                selector.register(self._stdout, selectors.EVENT_READ)
            if writing:
                selector.register(self._stdin, selectors.EVENT_WRITE)
            if self._stderr_open:
                selector.register(self._stderr, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(patience.left_s())}
                if self._stderr in ready and not self._drain_stderr():
                    selector.unregister(self._stderr)
                if self._stdout in ready or self._stdin in ready:
                    return self._stdout in ready, self._stdin in ready
                if patience.left_s() <= 0:
                    raise Stalled

    def write_some(self, data: memoryview | bytes) -> int:
        """Bytes of `data` that stdin took. Raises: BrokenPipeError."""
        try:
            return os.write(self._stdin, data[:CHUNK_BYTES])
        except BlockingIOError:
            return 0

    def read_some(self, limit: int = CHUNK_BYTES) -> bytes | None:
        """What stdout has; empty at its end, None when there is nothing yet."""
        try:
            return os.read(self._stdout, min(limit, CHUNK_BYTES))
        except BlockingIOError:
            return None

    def close_stdin(self) -> None:
        """Say that nothing more follows; safe to repeat."""
        if self._stdin_open:
            self._stdin_open = False
            assert self._process.stdin
            self._process.stdin.close()

    def end(self, patience: Patience) -> int:
        """Close stdin, read stdout and stderr to their ends, and give the exit code.

        Raises: Stalled. A process that a signal ended gives 128 plus its number.
        """
        self.close_stdin()
        while (data := self.read_some()) != b"":
            if data is None:
                self.wait(reading=True, writing=False, patience=patience)
            elif patience.left_s() <= 0:
                raise Stalled
        while self._stderr_open:
            if not _is_readable(self._stderr, patience.left_s()):
                raise Stalled
            self._drain_stderr()
        try:
            code = self._process.wait(patience.left_s() + 0.01)
        except subprocess.TimeoutExpired as error:
            raise Stalled from error
        self._close_pipes()
        return 128 - code if code < 0 else code

    def kill(self) -> None:
        """End the process and everything in its session's group, now; safe to repeat."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        self._close_pipes()

    def last_words(self) -> str:
        """The end of stderr as text, untrusted."""
        return bytes(self.stderr[-2000:]).decode(errors="replace").strip()

    def _drain_stderr(self) -> bool:
        try:
            data = os.read(self._stderr, CHUNK_BYTES)
        except BlockingIOError:
            return True
        room = self._stderr_limit_bytes - len(self.stderr)
        self.stderr += data[: max(0, room)]
        self._stderr_open = bool(data)
        return self._stderr_open

    def _close_pipes(self) -> None:
        self._stdin_open = self._stderr_open = False
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            with contextlib.suppress(OSError):
                pipe.close()


def converse(child: Child, stdin: bytes, patience: Patience, *, limit_bytes: int) -> bytes:
    """Send stdin and read stdout to its end, cut. Raises: Stalled."""
    left = memoryview(stdin)
    stdout = bytearray()
    if not left:
        child.close_stdin()
    while patience.left_s() > 0:
        readable, writable = child.wait(reading=True, writing=bool(left), patience=patience)
        if writable:
            try:
                left = left[child.write_some(left) :]
            except BrokenPipeError:
                left = left[:0]
            if not left:
                child.close_stdin()
        if readable:
            data = child.read_some()
            if data == b"":
                return bytes(stdout)
            stdout += (data or b"")[: max(0, limit_bytes - len(stdout))]
    raise Stalled


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))
