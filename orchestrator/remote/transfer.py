"""Bulk bytes to and from a machine: OpenSSH processes of our own, beside the control connection.

OpenSSH moves bytes at half the processor time of a connection inside Python, and its failures
cannot take the control connection along.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn, Protocol

from orchestrator.agent import protocol
from orchestrator.errors import AgentFault, HostKeyMismatch, RemoteError, Unreachable
from orchestrator.remote.child import SLOWEST_BYTES_PER_S, Child, Patience, Stalled
from orchestrator.remote.keys import fingerprint, host_key_line
from orchestrator.remote.paths import checked, shown

HOST_KEY_ALIAS = "gpulease"
STALL_S = 60.0
_LINE_LIMIT_BYTES = 64 * 1024
_NOISE_LIMIT_BYTES = 1024 * 1024
_LAST_WORDS_S = 5.0
_LAST_BYTES_S = 600.0  # some megabytes lie in buffers when the last byte is written
_ASKED_S = 10.0
# The first one brings bytes in about 0.7 of the time of the second, which is OpenSSH's own first.
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes256-gcm@openssh.com",
)
_FILE_NAME = str.maketrans("+/", "-_")
_FULL_DISK = ("No space left", "Disk quota exceeded", "Wrote only")  # the last is GNU tar's
_SSH_FAILED = 255  # OpenSSH's own exit code for everything that is not the command's


class SshServer(Protocol):
    """Where sshd listens, and as whom to log in."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Login:
    """All that a login needs; `host_key` is the one key that the server may show."""

    server: SshServer
    private_key_path: Path
    host_key: str


def ssh_command(login: Login, *options: str, connect_timeout_s: float = 20.0) -> list[str]:
    """argv of an OpenSSH client with the pinned host key and nothing from the user's own files.

    A known_hosts file, named by the key that it holds, is written beside the private key.
    """
    server = login.server
    settings = {
        "BatchMode": "yes",
        "IdentityFile": file_option(login.private_key_path),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "UserKnownHostsFile": file_option(
            known_hosts_file(login.private_key_path.parent, login.host_key)
        ),
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": HOST_KEY_ALIAS,
        "HostKeyAlgorithms": key_algorithms(login.host_key),
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "ControlMaster": "no",
        "ControlPath": "none",
        "Compression": "no",
        "ConnectTimeout": str(max(1, int(connect_timeout_s))),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
    }
    if ciphers := _ciphers():
        settings["Ciphers"] = ciphers
    argv = ["ssh", "-F", os.devnull, "-p", str(server.port), "-l", server.user]
    for name, value in settings.items():
        argv += ["-o", f"{name}={value}"]
    return [*argv, *options, "--", server.host]


@cache
def _ciphers() -> str:
    """OpenSSH's usual ciphers in our order, those that it has here; "" where it does not tell."""
    try:
        asked = subprocess.run(
            ["ssh", "-Q", "cipher"], capture_output=True, check=False, timeout=_ASKED_S
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    here = asked.stdout.decode(errors="replace").split()
    return ",".join(one for one in _CIPHERS if one in here)


def known_hosts_file(folder: Path, host_key: str) -> Path:
    """A file in `folder` that lets a server show this key and no other, as `HOST_KEY_ALIAS`."""
    line = f"{HOST_KEY_ALIAS} {host_key_line(host_key)}\n"
    name = fingerprint(host_key).removeprefix("SHA256:")[:16].translate(_FILE_NAME)
    path = folder / f"known_hosts.{name}"
    if not path.exists() or path.read_text() != line:
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        unfinished.write_text(line)
        unfinished.replace(path)
    return path


def key_algorithms(host_key: str) -> str:
    """What a server must sign with, to show this key."""
    kind = host_key_line(host_key).split(" ")[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def file_option(path: Path) -> str:
    """A file name as an option of OpenSSH takes it, which expands %."""
    return f'"{str(path).replace("%", "%%")}"'


class Bulk:
    """Pushes tar streams, and pulls ranges of files through one process that is kept."""

    def __init__(
        self, login: Callable[[], list[str]], enter: str, *, stall_s: float = STALL_S
    ) -> None:
        """`login` gives the argv that a command is added to; `enter` goes to the work folder."""
        self._login = login
        self._enter = enter
        self._stall_s = stall_s
        self._sender: Child | None = None

    def push(self, stream: Iterable[bytes]) -> None:
        """Unpack `stream` in the work folder. Raises: Unreachable, RemoteError."""
        child = self._start("exec tar -x -f -")
        unpack(child, stream, stall_s=self._stall_s)

    def pull(self, path: str, offset: int, end: int) -> Iterator[bytes]:
        """Bytes from `offset` to `end`; a lost connection is opened again once."""
        reached = offset
        opened_again = False
        while True:
            try:
                for data in self._range(path, reached, end):
                    reached += len(data)
                    yield data
                return
            except Unreachable:
                if opened_again:
                    raise
                opened_again = True

    def close(self) -> None:
        """End the kept process; safe to repeat."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.kill()

    def _range(self, path: str, offset: int, end: int) -> Iterator[bytes]:
        request = protocol.encode({"path": checked(path), "offset": offset, "end": end})
        sender = self._sender or self._open_sender()
        in_step = False
        try:
            sender.send(request, stall_s=self._stall_s)
            answer = _line(sender, Patience(self._stall_s))
            left_bytes = _size_in(answer, end - offset)
            in_step = left_bytes == 0
            sender.expect(left_bytes)
            # Whoever sends a little now and then, slower than any line, has stalled too.
            whole = Patience(self._stall_s + left_bytes / SLOWEST_BYTES_PER_S)
            while left_bytes:
                stall_s = min(self._stall_s, whole.left_s())
                data = sender.receive(left_bytes, stall_s=stall_s)
                if not data:
                    raise BrokenPipeError
                left_bytes -= len(data)
                in_step = left_bytes == 0
                yield data
        except _Refused as error:
            in_step = True
            raise AgentFault(f"The machine cannot send {shown(path)}: {error}") from error
        except (Stalled, BrokenPipeError) as error:
            _give_up(sender, error)
        finally:
            # A reader that stops half-way leaves bytes of this file in the pipe.
            if not in_step:
                self.close()

    def _open_sender(self) -> Child:
        # What the login itself prints (a chatty .bashrc) ends before the marker.
        marker = f"gpulease-{secrets.token_hex(8)}"
        sender = self._start(f"echo {marker} && exec python3 {protocol.AGENT} send")
        try:
            read_past(sender, marker, self._stall_s)
        except (Stalled, BrokenPipeError) as error:
            _give_up(sender, error)
        self._sender = sender
        return sender

    def _start(self, command: str) -> Child:
        script = f"{self._enter}\n{command}"
        return Child([*self._login(), f"exec sh -c {shlex.quote(script)}"])


def unpack(child: Child, stream: Iterable[bytes], *, stall_s: float = STALL_S) -> None:
    """Feed a tar stream to a `tar -x` that just started, and wait for its end.

    Raises: Unreachable, HostKeyMismatch, RemoteError; whatever `stream` raises.
    """
    try:
        for data in stream:
            child.send(data, stall_s=stall_s)
        code = child.end(Patience(_LAST_BYTES_S))
    except (Stalled, BrokenPipeError) as error:
        _give_up(child, error)
    except BaseException:
        # Not a clean end of input: tar would take a cut stream for the whole.
        child.kill()
        raise
    if code != 0:
        raise _failure(code, child.last_words())


def read_past(child: Child, marker: str, stall_s: float) -> None:
    """Read stdout up to the line `marker`, all in `stall_s`.

    Raises: Stalled, BrokenPipeError, AgentFault.
    """
    noise_bytes, patience = 0, Patience(stall_s)
    while (line := _line(child, patience)) != marker.encode():
        noise_bytes += len(line)
        if noise_bytes > _NOISE_LIMIT_BYTES:
            child.kill()
            raise AgentFault("The machine's login prints without end.")


def refusal(problem: str, words: str) -> RemoteError:
    """The error for `problem`, of which the machine said `words`."""
    if any(sign in words for sign in _FULL_DISK):
        return RemoteError(
            "The machine's disk is full.", hint="ask for a larger disk, or write less"
        )
    return RemoteError(f"{problem}: {shown(words)}")


class _Refused(Exception):
    """The agent answered with an error: the connection is good, the file is not."""


def _line(child: Child, patience: Patience) -> bytes:
    """One line, byte by byte: what follows it belongs to somebody else."""
    line = bytearray()
    while (byte := child.receive(1, stall_s=patience.left_s())) != b"\n":
        if not byte:
            raise BrokenPipeError
        line += byte
        if len(line) > _LINE_LIMIT_BYTES:
            child.kill()
            raise AgentFault("The machine sent a line without end.")
    return bytes(line)


def _size_in(answer: bytes, most: int) -> int:
    try:
        record = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise AgentFault("The machine's answer is no JSON.") from error
    if isinstance(record, dict) and isinstance(record.get("error"), str):
        raise _Refused(shown(record["error"]))
    size_bytes = record.get("size_bytes") if isinstance(record, dict) else None
    if type(size_bytes) is not int or not 0 <= size_bytes <= max(0, most):
        raise AgentFault("The machine's answer has no size that can be.")
    return size_bytes


def _give_up(child: Child, error: Exception) -> NoReturn:
    """End `child` and raise what its end says."""
    code = None
    if isinstance(error, BrokenPipeError):
        try:
            code = child.end(Patience(_LAST_WORDS_S))
        except Stalled:
            code = None
    words = child.last_words()
    child.kill()
    raise _failure(code, words) from error


def _failure(code: int | None, words: str) -> RemoteError:
    if code == _SSH_FAILED and "Host key verification failed" in words:
        return HostKeyMismatch(
            "Another host key than the pinned one was shown.",
            hint="somebody else answers at this address: nothing was sent",
        )
    if code is None or code == _SSH_FAILED:
        reason = shown(words) if words else "nothing moved for too long"
        return Unreachable(f"The bulk connection was lost: {reason}")
    return refusal(f"A command on the machine ended with {code}", words)
