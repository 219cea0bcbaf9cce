from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import Unreachable
from orchestrator.remote.keys import make_key_pair
from orchestrator.remote.transfer import Bulk, Login, ssh_command
from tests.remote.loopback_sshd import LoopbackSshd, Server

DRIP = """
import json, re, sys, time
print(re.search("gpulease-[0-9a-f]{16}", sys.argv[-1])[0], flush=True)
asked = json.loads(sys.stdin.readline())
print(json.dumps({"size_bytes": asked["end"] - asked["offset"]}), flush=True)
while True:
    time.sleep(0.05)
    sys.stdout.write("x")
    sys.stdout.flush()
"""


def test_the_ssh_command_of_a_person_logs_in_with_the_pinned_key(sshd: LoopbackSshd) -> None:
    login = Login(sshd.server, sshd.login_key.private_path, sshd.host_key)

    reply = subprocess.run([*ssh_command(login), "echo in"], capture_output=True, check=False)

    assert (reply.returncode, reply.stdout) == (0, b"in\n")


def test_a_login_asks_for_the_fastest_cipher_and_takes_the_servers(
    tmp_path: Path, sshd: LoopbackSshd
) -> None:
    narrow = LoopbackSshd(tmp_path, extra_config="Ciphers aes256-ctr\n")
    narrow.start()

    for server, cipher in ((sshd, "aes128-gcm@openssh.com"), (narrow, "aes256-ctr")):
        login = Login(server.server, server.login_key.private_path, server.host_key)
        talk = subprocess.run(
            [*ssh_command(login, "-vv", "-o", "LogLevel=DEBUG"), "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"server->client cipher: {cipher} " in talk.stderr
    narrow.stop()


def test_folders_with_spaces_and_percent_signs_work(sshd: LoopbackSshd, tmp_path: Path) -> None:
    key = tmp_path / "100% of it" / "id_ed25519"
    key.parent.mkdir()
    key.write_bytes(sshd.login_key.private_path.read_bytes())
    key.chmod(0o600)

    command = ssh_command(Login(sshd.server, key, sshd.host_key))

    assert subprocess.run([*command, "true"], check=False).returncode == 0


def test_nothing_of_the_users_own_settings_is_read(sshd: LoopbackSshd, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n")
    command = ssh_command(Login(sshd.server, sshd.login_key.private_path, sshd.host_key))
    environment = {"HOME": str(tmp_path), "SSH_AUTH_SOCK": str(tmp_path / "agent")}

    reply = subprocess.run(
        ["env", *(f"{name}={value}" for name, value in environment.items()), *command, "true"],
        check=False,
    )

    assert reply.returncode == 0


def test_one_known_hosts_file_per_key_lies_beside_the_private_key(tmp_path: Path) -> None:
    pair = make_key_pair(tmp_path / "login")
    first, second = (make_key_pair(tmp_path / name).public_line for name in "ab")
    for host_key in (first, second, first):
        ssh_command(Login(Server("h", 22, "root"), pair.private_path, host_key))

    lines = {path.read_text() for path in pair.private_path.parent.glob("known_hosts.*")}
    assert lines == {f"gpulease {' '.join(host_key.split()[:2])}\n" for host_key in (first, second)}


def test_a_machine_that_sends_slower_than_any_line_is_given_up() -> None:
    bulk = Bulk(lambda: [sys.executable, "-c", DRIP], "true", stall_s=0.5)
    clock = SystemClock()
    began_s = clock.awake_s()

    with pytest.raises(Unreachable):
        list(bulk.pull("checkpoints/step-1/w", 0, 1000))

    assert clock.awake_s() - began_s < 20, "1000 bytes would take 50 s"
    bulk.close()
