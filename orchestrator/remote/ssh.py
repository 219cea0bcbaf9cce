"""A machine over SSH: one control connection by fabric, bulk bytes by OpenSSH beside it.

fabric opens the connection through our hooks, so that the host key is compared before the login.
Commands run on the bare channel, because their output is bounded as it comes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import selectors
import shlex
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import HostKeyMismatch, Unreachable
from orchestrator.remote.child import SLOWEST_BYTES_PER_S, Patience
from orchestrator.remote.keys import is_same_key
from orchestrator.remote.paths import shown
from orchestrator.remote.script import enter, last_words, read_file, write_file
from orchestrator.remote.shell import Reply
from orchestrator.remote.transfer import STALL_S, Bulk, Login, SshServer, refusal, ssh_command

if TYPE_CHECKING:
    import fabric
    import paramiko

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_NOISE_LIMIT_BYTES = 1024 * 1024
_KEEPALIVE_S = 15
_CHANNEL_S = 30.0
_STEP_BYTES = 64 * 1024
_SEND_POLL_S = 0.02
_OVERTIME_S = 1.0  # behind a command's own limit, then its connection is ended
_BANNER = b"SSH-"
_SMALL_BYTES = 4 * 1024 * 1024


def answers(server: SshServer, timeout_s: float) -> bool:
    """Whether an sshd says its name there; nothing is sent."""
    import fabric  # noqa: F401 - a login needs it: a third of a second, spent while we wait

    try:
        with socket.create_connection((server.host, server.port), timeout_s) as connection:
            return connection.recv(len(_BANNER)) == _BANNER
    except OSError:
        return False


def connect(
    server: SshServer,
    private_key_path: Path,
    pinned: str | None,
    work_dir: str,
    timeout_s: float,
    *,
    stall_s: float = STALL_S,
) -> SshShell:
    """Log in, and make the work folder (0700) under the login's home.

    `pinned` is a host key line or its `SHA256:…`; with None whoever answers is believed, and
    `host_key` of the shell is what to pin from then on.

    Raises: Unreachable (also when the login is refused: a booting machine may not know its key
    yet), HostKeyMismatch (nothing was sent), RemoteError (no work folder can be made).
    """
    entering = enter(work_dir)
    if server.host.startswith("-") or not server.host.isprintable() or " " in server.host:
        raise Unreachable(f"{shown(server.host)} is no host name")
    connection = _log_in(server, pinned, private_key_path, timeout_s)
    try:
        login = Login(server, private_key_path, _host_key(connection.transport))
        shell = SshShell(connection, login, entering, stall_s=stall_s)
        shell.run("chmod 0700 .", timeout_s=max(timeout_s, _CHANNEL_S))
    except BaseException:
        connection.close()
        raise
    return shell


class SshShell:
    """A `Shell` over SSH; made by `connect`."""

    def __init__(
        self, connection: fabric.Connection, login: Login, entering: str, *, stall_s: float
    ) -> None:
        self.login = login
        self._connection = connection
        self._enter = entering
        self._stall_s = stall_s
        self._bulk = Bulk(lambda: ssh_command(login, "-T"), entering, stall_s=stall_s)

    @property
    def host_key(self) -> str:
        """The key that the server showed, as `type base64`."""
        return self.login.host_key

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        marker = f"gpulease-{secrets.token_hex(8)}"
        # Not the last command of its shell: a signal then reads as 128 plus its number.
        script = f"{self._enter}\necho {marker}\nsh -c {shlex.quote(command)}\nexit $?"
        import paramiko

        try:
            patience, transport = Patience(timeout_s), self._connection.transport
            with _ended_after(transport, timeout_s + _OVERTIME_S):
                channel = transport.open_session(timeout=min(_CHANNEL_S, timeout_s))
                with contextlib.closing(channel):
                    channel.exec_command(f"exec sh -c {shlex.quote(script)}")
                    outputs = _Outputs(marker.encode() + b"\n")
                    exit_code = _converse(channel, stdin, outputs, patience)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"The connection was lost: {shown(str(error))}") from error
        reply = Reply(exit_code, bytes(outputs.stdout), bytes(outputs.stderr))
        if not outputs.begun:
            raise refusal("The work folder cannot be used", last_words(reply))
        return reply

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
        pieces, head = iter(stream), bytearray()
        for piece in pieces:
            head += piece
            if len(head) > _SMALL_BYTES:
                self._bulk.push(itertools.chain([bytes(head)], pieces))
                return
        # A login of its own would take longer than so few bytes do.
        limit_s = self._stall_s + len(head) / SLOWEST_BYTES_PER_S
        reply = self.run("exec tar -x -f -", stdin=bytes(head), timeout_s=limit_s)
        if reply.exit_code != 0:
            raise refusal(
                f"Unpacking on the machine ended with {reply.exit_code}", last_words(reply)
            )

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        return self._bulk.pull(path, offset, size_bytes)

    def close(self) -> None:
        self._bulk.close()
        self._connection.close()


def _log_in(
    server: SshServer, pinned: str | None, private_key_path: Path, timeout_s: float
) -> fabric.Connection:
    """A connection that knows nothing of this computer's own SSH: no config, agent, keys, hosts."""
    import fabric
    import paramiko

    # Else Python prints paramiko's tracebacks of ordinary failures to stderr.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    limit_s = max(1.0, timeout_s)
    approach = _Approach(server, pinned, limit_s)
    connection = fabric.Connection(
        server.host,
        user=server.user,
        port=server.port,
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        connect_timeout=limit_s,
        connect_kwargs={
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": limit_s,
            "auth_timeout": limit_s,
            "transport_factory": approach.transport,
        },
    )
    connection.client.set_missing_host_key_policy(approach)
    try:
        connection.connect_kwargs["pkey"] = paramiko.PKey.from_path(private_key_path)
        connection.open()
    except HostKeyMismatch:
        connection.client.close()
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        connection.client.close()
        raise Unreachable(f"{_name(server)} {approach.so_far}: {_reason(error)}") from error
    if not connection.transport.is_authenticated():
        connection.client.close()
        raise Unreachable(f"{_name(server)} wants more than the key for a login.")
    connection.transport.set_keepalive(_KEEPALIVE_S)
    return connection


class _Approach:
    """paramiko's hooks between an open port and the login."""

    def __init__(self, server: SshServer, pinned: str | None, limit_s: float) -> None:
        self.so_far = "does not answer"
        self._server = server
        self._pinned = pinned
        self._limit_s = limit_s

    def transport(self, sock: socket.socket, **options: object) -> paramiko.Transport:
        """What the connection runs over, once the port has answered."""
        import paramiko

        self.so_far = "speaks no SSH yet"
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport = paramiko.Transport(sock, **options)  # type: ignore[arg-type]
        transport.handshake_timeout = self._limit_s
        # paramiko deadlocks when it rekeys by itself amid received data (5.1, paramiko#822, seen
        # 2026-11-23): OpenSSH alone decides when. Set on this connection's own object.
        transport.packetizer.REKEY_BYTES = sys.maxsize
        transport.packetizer.REKEY_PACKETS = sys.maxsize
        if self._pinned is not None and not self._pinned.startswith("SHA256:"):
            _prefer_key_type(transport, self._pinned.split(" ")[0])
        return transport

    def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
        """Compare with the pinned key: paramiko itself knows no host, so that each comes here."""
        if self._pinned is not None and not is_same_key(self._pinned, _line(key)):
            raise HostKeyMismatch(
                f"{_name(self._server)} showed another host key than the pinned one.",
                hint="somebody else answers at this address: nothing was sent",
            )
        self.so_far = "refused the login"


def _prefer_key_type(transport: paramiko.Transport, kind: str) -> None:
    options = transport.get_security_options()
    family = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}.get(kind, (kind,))
    known = list(options.key_types)
    first = [each for each in family if each in known]
    options.key_types = [*first, *(each for each in known if each not in first)]


def _host_key(transport: paramiko.Transport) -> str:
    return _line(transport.get_remote_server_key())


def _line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


@contextlib.contextmanager
def _ended_after(transport: paramiko.Transport, limit_s: float) -> Iterator[None]:
    """End the connection where the block lasts longer than `limit_s`.

    paramiko waits without a limit for the answer to a request, and for a socket that takes
    nothing: what answers there may be hostile, and only the end of the connection ends that wait.
    """
    end = threading.Timer(limit_s, transport.close)
    end.daemon = True
    end.start()
    try:
        yield
    finally:
        end.cancel()


def _converse(
    channel: paramiko.Channel, stdin: bytes, outputs: _Outputs, patience: Patience
) -> int:
    """Send stdin, gather both outputs until their end, and give the exit code.

    Raises: Unreachable when that takes too long or the connection is lost.
    """
    left = memoryview(stdin)
    channel.settimeout(0.0)
    if not left:
        channel.shutdown_write()
    with selectors.DefaultSelector() as selector:
        selector.register(channel.fileno(), selectors.EVENT_READ)
        while patience.left_s() > 0:
            if left and channel.send_ready():
                left = _send_some(channel, left)
            if channel.recv_ready():
                outputs.add_stdout(channel.recv(_STEP_BYTES))
            elif channel.recv_stderr_ready():
                outputs.add_stderr(channel.recv_stderr(_STEP_BYTES))
            elif channel.eof_received or channel.closed:
                break
            elif not left or not channel.send_ready():
                selector.select(_SEND_POLL_S if left else patience.left_s())
    if not channel.status_event.wait(patience.left_s()):
        raise Unreachable("A command on the machine did not end in time.")
    if channel.exit_status < 0:
        raise Unreachable("The connection was lost before a command ended.")
    return channel.exit_status


def _send_some(channel: paramiko.Channel, left: memoryview) -> memoryview:
    """What of `left` remains; nothing when the command ended without reading it all."""
    try:
        left = left[channel.send(bytes(left[:_STEP_BYTES])) :]
        if not left:
            channel.shutdown_write()
    except OSError:
        return left[:0]
    return left


class _Outputs:
    """Both outputs of a command, each cut; stdout begins after the marker's line."""

    def __init__(self, marker: bytes) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.begun = False
        self._marker = marker

    def add_stdout(self, data: bytes) -> None:
        self.stdout += data[: max(0, OUTPUT_LIMIT_BYTES - len(self.stdout))]
        if self.begun:
            return
        before, found, after = self.stdout.partition(self._marker)
        if found:
            self.stdout, self.begun = after, True
        elif len(before) > _NOISE_LIMIT_BYTES:
            raise Unreachable("The machine's login prints without end.")

    def add_stderr(self, data: bytes) -> None:
        self.stderr += data[: max(0, OUTPUT_LIMIT_BYTES - len(self.stderr))]


def _name(server: SshServer) -> str:
    return f"{server.host}:{server.port}"


def _reason(error: Exception) -> str:
    """What went wrong; of several addresses that do not answer, what the first one said."""
    each = getattr(error, "errors", None)
    return shown(str(next(iter(each.values())) if isinstance(each, dict) and each else error))
