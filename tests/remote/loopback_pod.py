"""A container on this computer: its start command under dash, and its cloud's API over loopback."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.providers.oracle import Oracle

KEY = "rpa_0123456789secret"
POD = "7h9k2m4n6p"
INSTANCE = "12345678"
LIMIT_S = 20.0

_TOOLS = ("cat", "date", "dash", "find", "mkdir", "mv", "sed", "setsid", "touch", "wc")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API, and who could read the key in a process list meanwhile."""

    method: str
    path: str
    headers: dict[str, str]
    body: object
    seen_in: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class MachineApi:
    """A cloud as its machine sees it: answers with `statuses` by "METHOD path", else 500.

    What a machine asks of it is held to the published description, at the end.
    """

    def __init__(self, statuses: dict[str, int], oracle: Oracle) -> None:
        self.statuses = statuses
        self.calls: queue.Queue[Call] = queue.Queue()
        self._undescribed: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                found = oracle.of_request(self.command, self.path, {}, body)
                api._undescribed += [f"{place}: {error.message}" for place, error in found]
                call = Call(
                    self.command,
                    self.path,
                    dict(self.headers),
                    json.loads(body) if body else None,
                    _who_shows(KEY),
                )
                self.send_response(api.statuses.get(str(call), 500))
                self.send_header("Content-Length", "0")
                self.end_headers()
                api.calls.put(call)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def next_ending(self) -> Call:
        """The next call that is no harmless GET."""
        while (call := self.calls.get(timeout=LIMIT_S)).method == "GET":
            pass
        return call

    def close(self) -> None:
        """Stop serving; nothing was asked that is not described."""
        self._server.shutdown()
        self._server.server_close()
        assert not self._undescribed, self._undescribed


def of_runpod(api: MachineApi) -> dict[str, str]:
    """What the platform puts into a pod's environment."""
    return {
        "RUNPOD_POD_ID": POD,
        "RUNPOD_API_KEY": KEY,
        "GPULEASE_RUNPOD_URL": f"{api.url}/v2",
        "GPULEASE_RUNPOD_GRAPHQL_URL": f"{api.url}/graphql",
    }


def of_vast(api: MachineApi) -> dict[str, str]:
    """What the platform puts into an instance's environment."""
    return {
        "CONTAINER_ID": INSTANCE,
        "CONTAINER_API_KEY": KEY,
        "VAST_CONTAINERLABEL": f"C.{INSTANCE}",
        "GPULEASE_VAST_URL": api.url,
    }


class Pod:
    """A container: a home, the platform's environment, and what its image has on PATH."""

    def __init__(
        self, folder: Path, label: str, platform: dict[str, str], clients: tuple[str, ...]
    ) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.work = self.home / "gpulease" / label
        self.clock = folder / "clock"
        self.clock.write_text("0")
        self._bin = folder / "bin"
        self._bin.mkdir()
        for tool in (*_TOOLS, *clients):
            found = sys.executable if tool == "python3" else shutil.which(tool)
            assert found is not None, f"no {tool} on this computer"
            (self._bin / tool).symlink_to(Path(found).resolve())
        (self._bin / "sh").symlink_to(self._bin / "dash")
        # First on PATH: the guard must not start a real sshd on this computer.
        self.add_program("sshd", 'echo "$0" >"$HOME/sshd-started"')
        self.add_program("ssh-keygen", "exit 0")
        self.add_program("sleep", f'printf . >>"$HOME/ticks"; exec {shutil.which("sleep")} "$@"')
        self.environment = {
            "HOME": str(self.home),
            "PATH": str(self._bin),
            "PUBLIC_KEY": "ssh-ed25519 AAAA run",
            "GPULEASE_CLOCK": str(self.clock),
            **platform,
        }
        self._booted: list[subprocess.Popen[bytes]] = []

    def add_program(self, name: str, script: str) -> None:
        """Put a program into the image."""
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)

    def boot(self, start_command: str) -> None:
        """Run the start command as the platform does."""
        self._booted.append(
            subprocess.Popen(
                [self._bin / "dash", "-c", start_command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def guard(self) -> dict[str, object]:
        """The guard's record, once it has reached the API."""
        self.until(lambda: self._record().get("reachable") is True, "an armed guard")
        return self._record()

    def advance(self, seconds: int) -> None:
        """Let time go by in the container."""
        self.clock.write_text(str(seconds))

    def until_it_looked_again(self) -> None:
        """Wait for two ticks of the guard: each starts a `sleep`, which leaves a mark here."""
        marks = self.home / "ticks"
        before = _size_bytes(marks)
        self.until(lambda: _size_bytes(marks) > before + 1, "two ticks")

    def is_up(self) -> bool:
        """Whether the start command still runs."""
        return self._booted[-1].poll() is None

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Wait until `claim` holds."""
        give_up_s = time.monotonic() + LIMIT_S
        while not claim():
            assert time.monotonic() < give_up_s, f"waited in vain for {what}"
            time.sleep(0.02)

    def shut_down(self) -> None:
        """Kill every process of the pod: each carries the pod's home in its environment."""
        mark = f"HOME={self.home}".encode()
        while pids := [pid for pid in _pids() if mark in _read(pid, "environ").split(b"\0")]:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        for process in self._booted:
            process.wait()

    def _record(self) -> dict[str, object]:
        try:
            record = json.loads((self.work / "guard.json").read_text())
        except FileNotFoundError:
            return {}
        assert isinstance(record, dict)
        return record


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _who_shows(secret: str) -> tuple[str, ...]:
    lines = (_read(pid, "cmdline") for pid in _pids())
    return tuple(line.decode(errors="replace") for line in lines if secret.encode() in line)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
