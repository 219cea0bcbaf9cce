"""A person's own computer over their own OpenSSH: their config, agent, jump hosts, known hosts.

One process holds the connection, and every command is a session of it. It ends with this process,
however that ends: what runs on its other side reads from a pipe of ours.

fabric knows half of what people have in their config. What is rented is reached by fabric all the
same, where nothing of the person's must be offered to a stranger.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.errors import HostKeyMismatch, LoginRefused, RemoteError, Unreachable
from orchestrator.remote.child import Child, Patience, Stalled, converse
from orchestrator.remote.hosts import Host
from orchestrator.remote.paths import shown
from orchestrator.remote.script import enter, last_words, read_file, write_file
from orchestrator.remote.shell import Reply
from orchestrator.remote.transfer import (
    HOST_KEY_ALIAS,
    STALL_S,
    Bulk,
    file_option,
    key_algorithms,
    known_hosts_file,
    read_past,
    refusal,
)

CONNECT_S = 10.0
OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_SAID_LIMIT_BYTES = OUTPUT_LIMIT_BYTES + 1024 * 1024  # with what the login itself prints
_SSH_FAILED = 255  # OpenSSH's own exit code for everything that is not the command's
_END = f'code=$?; [ "$code" = {_SSH_FAILED} ] && exit {_SSH_FAILED - 1}; exit "$code"'
_LAST_WORDS_S = 2.0
_SETTINGS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "ConnectTimeout": str(int(CONNECT_S)),
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "LogLevel": "ERROR",
}


def login_command(host: Host, folder: Path, *options: str) -> list[str]:
    """argv of an OpenSSH client that never asks; a command may be added to it.

    A known_hosts file for a pinned host key is written into `folder`.
    """
    settings = dict(_SETTINGS)
    if host.key is not None:
        settings |= {"IdentityFile": file_option(host.key), "IdentitiesOnly": "yes"}
    if host.host_key:
        settings |= {
            "UserKnownHostsFile": file_option(known_hosts_file(folder, host.host_key)),
            "GlobalKnownHostsFile": os.devnull,
            "HostKeyAlias": HOST_KEY_ALIAS,
            "HostKeyAlgorithms": key_algorithms(host.host_key),
            "CheckHostIP": "no",
        }
    argv = ["ssh", *_where(host)]
    for name, value in settings.items():
        argv += ["-o", f"{name}={value}"]
    return [*argv, *options, "--", host.address]


class Connection:
    """One login, kept open. Not for several threads at once."""

    def __init__(self, host: Host, folder: Path, *, connect_s: float = 2 * CONNECT_S) -> None:
        """Log in. Raises: Unreachable, LoginRefused, HostKeyMismatch."""
        self.host = host
        self._folder = folder
        # Not at home: the path of a socket has some hundred characters at most.
        place = Path(tempfile.mkdtemp(prefix="gl-"))
        self._socket = place / "s"
        marker = f"gpulease-{secrets.token_hex(8)}"
        argv = [*self._login("-M", "-T"), f"exec sh -c 'echo {marker}; exec cat'"]
        self._master = Child(argv)
        self._end = weakref.finalize(self, _end, self._master, place)
        try:
            read_past(self._master, marker, connect_s)
        except (Stalled, BrokenPipeError) as error:
            with contextlib.suppress(Stalled):
                self._master.end(Patience(_LAST_WORDS_S))
            words = self._master.last_words()
            self.close()
            raise _trouble(host, words) from error
        except BaseException:
            self.close()
            raise

    def session(self) -> list[str]:
        """argv of one more session of the connection; a command is added to it.

        Raises: Unreachable when the connection is no more.
        """
        if not self._socket.exists():
            raise Unreachable(f"The connection to {self.host.name} was lost.")
        # Else OpenSSH would log in anew, for this command alone, where the connection just broke.
        return self._login("-T", "-o", "ControlMaster=no", "-o", "ProxyCommand=false")

    def run(
        self, command: str, *, entering: str = "", stdin: bytes = b"", timeout_s: float = 60.0
    ) -> Reply:
        """Run `command` by sh behind `entering`, which may refuse by `exit`. Raises: RemoteError.

        An exit code of 255 reads as 254: 255 is OpenSSH's own word for a lost connection.
        """
        marker = f"gpulease-{secrets.token_hex(8)}"
        script = f"{entering}\necho {marker}\nsh -c {shlex.quote(command)}\n{_END}"
        child = Child(
            [*self.session(), f"exec sh -c {shlex.quote(script)}"],
            stderr_limit_bytes=OUTPUT_LIMIT_BYTES,
        )
        patience = Patience(timeout_s)
        try:
            said = converse(child, stdin, patience, limit_bytes=_SAID_LIMIT_BYTES)
            exit_code = child.end(patience)
        except Stalled as error:
            problem = f"A command on {self.host.name} did not end within {timeout_s:g} s."
            raise Unreachable(problem) from error
        finally:
            child.kill()
        _, begun, stdout = said.partition(f"{marker}\n".encode())
        reply = Reply(exit_code, stdout[:OUTPUT_LIMIT_BYTES], bytes(child.stderr))
        if exit_code == _SSH_FAILED:
            raise _trouble(self.host, last_words(reply))
        if not begun:
            raise refusal("The work folder cannot be used", last_words(reply))
        return reply

    def close(self) -> None:
        """End the connection and every session of it; safe to repeat."""
        self._end()

    def _login(self, *options: str) -> list[str]:
        path = f"ControlPath={file_option(self._socket)}"
        return login_command(
            self.host, self._folder, "-o", path, "-o", "ControlPersist=no", *options
        )


class OpenSshShell:
    """A `Shell` in a folder below the login's home."""

    def __init__(self, connection: Connection, work_dir: str, *, stall_s: float = STALL_S) -> None:
        """Take over `connection`, and make the folder (0700) when missing. Raises: RemoteError."""
        self._connection = connection
        self._enter = enter(work_dir)
        self._bulk = Bulk(connection.session, self._enter, stall_s=stall_s)
        self.run("chmod 0700 .")

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        return self._connection.run(command, entering=self._enter, stdin=stdin, timeout_s=timeout_s)

    def read(self, path: str, offset: int, limit: int) -> bytes:
        reply = self.run(read_file(path, offset, min(limit, OUTPUT_LIMIT_BYTES)))
        if reply.stderr and not reply.stdout:
            raise refusal(f"{shown(path)} cannot be read", last_words(reply))
        return reply.stdout

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        reply = self.run(write_file(path, len(data), mode), stdin=data)
        if reply.exit_code != 0:
            raise refusal(f"{shown(path)} cannot be written", last_words(reply))

    def push(self, stream: Iterable[bytes]) -> None:
        self._bulk.push(stream)

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        return self._bulk.pull(path, offset, size_bytes)

    def close(self) -> None:
        self._bulk.close()
        self._connection.close()


def _where(host: Host) -> list[str]:
    port = ["-p", str(host.port)] if host.port else []
    return [*port, *(["-l", host.user] if host.user else [])]


def _trouble(host: Host, words: str) -> RemoteError:
    """What OpenSSH's last words mean, and what a person can do."""
    key = ["-i", str(host.key)] if host.key is not None else []
    by_hand = shlex.join(["ssh", *_where(host), *key, host.address])
    if "IDENTIFICATION HAS CHANGED" in words or (
        host.host_key and "Host key verification failed" in words
    ):
        return HostKeyMismatch(
            f"{host.name} showed another host key than the known one.",
            hint="somebody else answers there, or it was installed anew: nothing was sent",
        )
    if "Host key verification failed" in words:
        return HostKeyMismatch(
            f"the host key of {host.name} is not known here; nothing was sent",
            hint=f"log in once by hand and compare the key: {by_hand}",
        )
    if "Permission denied" in words or "Too many authentication failures" in words:
        return LoginRefused(
            f"{host.name} refused the login: {shown(words)}",
            hint=f"this must log in without a question: {by_hand}",
        )
    reason = shown(words) if words else "nothing came in time"
    return Unreachable(f"{host.name} does not answer: {reason}", hint=f"try: {by_hand}")


def _end(master: Child, place: Path) -> None:
    master.kill()
    shutil.rmtree(place, ignore_errors=True)
