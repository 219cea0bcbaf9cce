"""A plain OpenSSH server on loopback, with a host key, a login key and a home of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.remote.keys import KeyPair, make_key_pair

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True, slots=True)
class Server:
    """What a provider's address has."""

    host: str
    port: int
    user: str


@dataclass(slots=True)
class LoopbackSshd:
    """Started by `start`; logins land in `home`."""

    folder: Path
    extra_config: str = ""
    environment: str = ""  # of a login, as `A=b C=d`
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.port, "root")

    @property
    def host_key(self) -> str:
        kind, blob, *_ = (self.folder / "host_key.pub").read_text().split()
        return f"{kind} {blob}"

    @property
    def login_key(self) -> KeyPair:
        return make_key_pair(self.folder / "login")

    def start(self) -> None:
        """Listen on a free port (the same one after a stop) and answer."""
        self.home.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        if not (self.folder / "host_key").exists():
            self.new_host_key()
        (self.folder / "authorized_keys").write_text(self.login_key.public_line + "\n")
        self.port = self.port or _free_port()
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\nStrictModes no\n"
            f"SetEnv HOME={self.home} {self.environment}\nMaxStartups 100\n{self.extra_config}"
        )
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", config],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        _wait_for_banner(self.port)

    def stop(self) -> None:
        """End the server and every connection."""
        self.cut()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """End every connection; the server goes on listening."""
        self._signal_connections(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep every connection open and say nothing any more, also to new ones."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
        self._signal_connections(signal.SIGSTOP)

    def _signal_connections(self, number: signal.Signals) -> None:
        if self._process is not None:
            for pid in _children(self._process.pid):
                for each in (*_children(pid), pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each, number)

    def new_host_key(self) -> None:
        """Another host key from the next start on."""
        path = self.folder / "host_key"
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_banner(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as one:
            if one.recv(4) == b"SSH-":
                return
        time.sleep(0.02)
    raise AssertionError("sshd did not start")


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(stat.parent.name))
    return found
