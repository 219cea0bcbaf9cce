"""What only a connection has: host keys, loss, stalls, floods."""

from __future__ import annotations

import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from orchestrator.errors import HostKeyMismatch, RemoteError, Unreachable
from orchestrator.remote import ssh
from orchestrator.remote.bundle import bundle, bytes_entry
from orchestrator.remote.keys import fingerprint, make_key_pair
from orchestrator.remote.ssh import SshShell
from tests.remote.conftest import WORK_DIR, open_ssh
from tests.remote.loopback_sshd import LoopbackSshd, Server


def test_more_than_one_gib_passes_through_one_control_connection(own_sshd: LoopbackSshd) -> None:
    own_sshd.stop()
    own_sshd.extra_config = "LogLevel DEBUG1\n"
    own_sshd.start()
    shell = open_ssh(own_sshd, WORK_DIR)

    reply = shell.run("head -c 1200000000 /dev/zero", timeout_s=100)

    assert len(reply.stdout) == 16 * 2**20
    assert shell.run("echo still here").stdout == b"still here\n"
    shell.close()
    log = (own_sshd.folder / "sshd.log").read_text()
    assert log.count("SSH2_MSG_KEXINIT received") == 1, "paramiko must not rekey by itself"


def test_a_server_that_rekeys_often_is_followed(own_sshd: LoopbackSshd) -> None:
    own_sshd.stop()
    own_sshd.extra_config = "RekeyLimit 16M\n"
    own_sshd.start()
    shell = open_ssh(own_sshd, "gpulease/x")

    assert shell.run("head -c 200000000 /dev/zero", timeout_s=60).exit_code == 0
    shell.close()


def test_first_use_tells_the_host_key_to_pin_from_then_on(sshd: LoopbackSshd) -> None:
    key = sshd.login_key.private_path
    first = ssh.connect(sshd.server, key, None, "gpulease/first", 20)
    pinned_hash = ssh.connect(sshd.server, key, fingerprint(first.host_key), "gpulease/first", 20)

    assert first.host_key == sshd.host_key == pinned_hash.host_key
    first.close()
    pinned_hash.close()


def test_an_sshd_answers_to_a_knock_and_nothing_else_does(own_sshd: LoopbackSshd) -> None:
    assert ssh.answers(own_sshd.server, 5)

    own_sshd.stop()
    assert not ssh.answers(own_sshd.server, 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server("127.0.0.1", silent.getsockname()[1], "nobody")
        assert not ssh.answers(server, 0.1)


def test_another_host_key_is_refused_before_the_login(own_sshd: LoopbackSshd) -> None:
    pinned = own_sshd.host_key
    own_sshd.stop()
    own_sshd.new_host_key()
    own_sshd.start()

    with pytest.raises(HostKeyMismatch):
        ssh.connect(own_sshd.server, own_sshd.login_key.private_path, pinned, "gpulease/x", 20)
    assert "Accepted" not in (own_sshd.folder / "sshd.log").read_text()


def test_another_host_key_is_refused_by_the_bulk_connection_too(
    own_sshd: LoopbackSshd, ssh_shell: SshShell
) -> None:
    own_sshd.stop()
    own_sshd.new_host_key()
    own_sshd.start()

    with pytest.raises(HostKeyMismatch):
        list(ssh_shell.pull("agent.pyz", 0, 10))
    with pytest.raises(HostKeyMismatch):
        ssh_shell.push([bytes(8_000_000)])


def test_a_refused_key_and_an_absent_server_are_unreachable(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    foreign = make_key_pair(tmp_path / "foreign").private_path

    with pytest.raises(Unreachable, match="refused"):
        ssh.connect(sshd.server, foreign, sshd.host_key, "gpulease/x", 20)
    with pytest.raises(Unreachable, match="does not answer"):
        ssh.connect(Server("127.0.0.1", 1, "root"), foreign, None, "gpulease/x", 5)
    with pytest.raises(Unreachable, match="no host name"):
        ssh.connect(Server("-oProxyCommand=x", 22, "root"), foreign, None, "gpulease/x", 5)


def test_a_server_that_says_nothing_is_given_up_in_time(own_sshd: LoopbackSshd) -> None:
    own_sshd.freeze()

    with pytest.raises(Unreachable, match="SSH"):
        ssh.connect(own_sshd.server, own_sshd.login_key.private_path, None, "gpulease/x", 1)


class Mute(paramiko.ServerInterface):
    """An sshd that does what the first command says, and never answers another."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.over = threading.Event()
        self._asked = 0

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._asked += 1
        if self._asked > 1:
            self.over.wait(60)
            return False
        threading.Thread(target=self._do, args=(channel, command), daemon=True).start()
        return True

    def _do(self, channel: paramiko.Channel, command: bytes) -> None:
        environment = {**os.environ, "HOME": str(self.home)}
        done = subprocess.run(
            ["sh", "-c", command.decode()], capture_output=True, env=environment, check=False
        )
        channel.sendall(done.stdout)
        channel.send_exit_status(done.returncode)
        channel.close()

    def serve(self, listening: socket.socket) -> None:
        transport = paramiko.Transport(listening.accept()[0])
        transport.add_server_key(paramiko.RSAKey.generate(2048))
        transport.start_server(server=self)
        while (channel := transport.accept(60)) is not None and not self.over.is_set():
            self._kept = channel  # one that is forgotten is closed


def test_a_server_that_never_answers_a_command_holds_nobody_up(tmp_path: Path) -> None:
    mute = Mute(tmp_path)
    key = make_key_pair(tmp_path / "keys").private_path
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=mute.serve, args=(listening,), daemon=True).start()
        server = Server("127.0.0.1", listening.getsockname()[1], "root")
        shell = ssh.connect(server, key, None, "gpulease/x", 20)
        answers: list[str] = []

        def ask() -> None:
            with pytest.raises(Unreachable):
                shell.run("true", timeout_s=0.5)
            answers.append("given up")

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(20)
        shell.close()
        mute.over.set()

    assert answers == ["given up"]


def test_a_cut_control_connection_is_unreachable_and_stays_so(
    own_sshd: LoopbackSshd, ssh_shell: SshShell
) -> None:
    own_sshd.cut()

    for _ in range(2):
        with pytest.raises(Unreachable):
            ssh_shell.run("true")


def test_a_cut_in_the_middle_of_a_command_is_unreachable(
    ssh_shell: SshShell,
) -> None:
    sshd_of_this_connection = "$(ps -o ppid= -p $(ps -o ppid= -p $$))"

    with pytest.raises(Unreachable):
        ssh_shell.run(f"kill -9 {sshd_of_this_connection}; sleep 5")


def test_a_pull_goes_on_by_itself_after_a_cut(own_sshd: LoopbackSshd, ssh_shell: SshShell) -> None:
    data = bytes(range(256)) * 100_000
    ssh_shell.write("big", data)
    stream = ssh_shell.pull("big", 0, len(data))
    got = next(stream)
    own_sshd.cut()

    assert got + b"".join(stream) == data


def test_a_pull_after_the_server_went_is_unreachable_and_keeps_what_came(
    own_sshd: LoopbackSshd, ssh_shell: SshShell
) -> None:
    ssh_shell.write("big", bytes(30_000_000))
    stream = ssh_shell.pull("big", 0, 30_000_000)
    got_bytes = len(next(stream))
    own_sshd.stop()

    with pytest.raises(Unreachable):
        for data in stream:
            got_bytes += len(data)
    assert 0 < got_bytes < 30_000_000


def test_stalls_of_pull_and_push_are_bounded(own_sshd: LoopbackSshd, ssh_shell: SshShell) -> None:
    ssh_shell.write("big", bytes(30_000_000))
    stream = ssh_shell.pull("big", 0, 30_000_000)
    next(stream)
    own_sshd.freeze()

    with pytest.raises(Unreachable):
        list(stream)
    with pytest.raises(Unreachable):
        ssh_shell.push(bytes(1_000_000) for _ in range(20))
    with pytest.raises(Unreachable):
        ssh_shell.push([bytes(10_000)])


def test_a_push_that_is_cut_is_unreachable(own_sshd: LoopbackSshd, ssh_shell: SshShell) -> None:
    def cut_half_way() -> Iterator[bytes]:
        member = tarfile.TarInfo("a")
        member.size = 100_000_000
        yield member.tobuf()
        for count in range(1000):
            if count == 200:
                own_sshd.cut()
            yield bytes(100_000)

    with pytest.raises(Unreachable):
        ssh_shell.push(cut_half_way())


def test_what_is_small_needs_no_second_login(own_sshd: LoopbackSshd, ssh_shell: SshShell) -> None:
    def logins() -> int:
        return (own_sshd.folder / "sshd.log").read_text().count("Accepted publickey")

    ssh_shell.push(bundle([bytes_entry("small", bytes(3_000_000))]))
    assert (ssh_shell.run("wc -c <small").stdout.strip(), logins()) == (b"3000000", 1)

    ssh_shell.push(bundle([bytes_entry("large", bytes(8_000_000))]))
    assert (ssh_shell.run("wc -c <large").stdout.strip(), logins()) == (b"8000000", 2)


def test_a_login_that_prints_does_not_disturb(own_sshd: LoopbackSshd) -> None:
    (own_sshd.home / ".bashrc").write_text("echo Welcome to this image; echo again\n")
    shell = open_ssh(own_sshd, "gpulease/x")
    shell.write("agent.pyz", b"import sys; sys.stdin.readline(); print('{\"size_bytes\": 2}\\nok')")

    assert shell.run("echo mine").stdout == b"mine\n"
    assert b"".join(shell.pull("any", 0, 2)) == b"ok"
    shell.close()


@pytest.mark.parametrize(
    "answer",
    ["no json", '{"size_bytes": 11}', '{"size_bytes": -1}', '{"size_bytes": true}', "[" * 9999],
)
def test_an_answer_that_cannot_be_is_the_agents_fault(ssh_shell: SshShell, answer: str) -> None:
    script = f"import sys; sys.stdin.readline(); print({answer!r}, flush=True)"
    ssh_shell.write("agent.pyz", script.encode())

    with pytest.raises(RemoteError, match="answer"):
        list(ssh_shell.pull("any", 0, 10))


def test_an_agent_that_cannot_start_is_named_and_not_retried(ssh_shell: SshShell) -> None:
    ssh_shell.write("agent.pyz", b"import sys; sys.exit('no disk \\x1b[31m')")

    with pytest.raises(RemoteError, match=r"no disk \\+x1b") as caught:
        list(ssh_shell.pull("any", 0, 10))
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_on_the_machine_is_said_in_words(ssh_shell: SshShell) -> None:
    mount = "mkdir small && mount -t tmpfs -o size=1m none small"
    if ssh_shell.run(mount).exit_code != 0:
        pytest.skip("no mounts here")
    try:
        with pytest.raises(RemoteError, match="disk is full"):
            ssh_shell.write("small/file", bytes(3_000_000))
        with pytest.raises(RemoteError, match="disk is full"):
            ssh_shell.push(bundle([bytes_entry("small/file", bytes(3_000_000))]))
        with pytest.raises(RemoteError, match="disk is full"):
            ssh_shell.push(bundle([bytes_entry("small/file", bytes(8_000_000))]))
        assert ssh_shell.run("ls -A small").stdout in (b"", b"file\n")
    finally:
        ssh_shell.run("umount small")


def test_a_work_folder_that_cannot_be_made_is_said(sshd: LoopbackSshd) -> None:
    (sshd.home / "a-file").write_text("")

    with pytest.raises(RemoteError, match="work folder"):
        open_ssh(sshd, "a-file/below")
    with pytest.raises(ValueError, match="no folder"):
        open_ssh(sshd, "../elsewhere")


def test_a_secret_on_stdin_is_in_no_argv(ssh_shell: SshShell) -> None:
    listing = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"

    seen = ssh_shell.run(f"cat >/dev/null; {listing}", stdin=b"s3cret-value").stdout

    assert b"s3cret-value" not in seen
