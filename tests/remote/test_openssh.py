"""What only a person's own OpenSSH has: their config and known hosts, and a kept connection."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import HostKeyMismatch, LoginRefused, RemoteError, Unreachable
from orchestrator.remote.hosts import Host
from orchestrator.remote.keys import make_key_pair
from orchestrator.remote.openssh import Connection, OpenSshShell, login_command
from tests.remote.conftest import own_host
from tests.remote.loopback_sshd import LoopbackSshd


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OpenSSH config file of the person, in place of this computer's user's own."""
    config = tmp_path / "ssh_config"
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    config.write_text("")
    return config


def alias(config: Path, server: LoopbackSshd, known_hosts: str = "") -> Host:
    """The server as an alias of the person's config file, with what they know of host keys."""
    known = config.with_name("known_hosts")
    known.write_text(known_hosts)
    config.write_text(
        f"Host tower\n HostName 127.0.0.1\n Port {server.port}\n User root\n"
        f" IdentityFile {server.login_key.private_path}\n UserKnownHostsFile {known}\n"
        " GlobalKnownHostsFile /dev/null\n RemoteCommand echo theirs\n RequestTTY force\n"
        f" ControlMaster auto\n ControlPath {config.parent}/their-socket\n ControlPersist 60\n"
    )
    return Host("tower", "tower")


def test_the_persons_own_config_and_known_hosts_lead_to_the_computer(
    config: Path, sshd: LoopbackSshd, tmp_path: Path
) -> None:
    host = alias(config, sshd, f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")

    connection = Connection(host, tmp_path)

    assert connection.run("echo in").stdout == b"in\n"
    connection.close()
    assert not (tmp_path / "their-socket").exists()


def test_an_unknown_host_key_is_refused_with_the_line_to_run(
    config: Path, own_sshd: LoopbackSshd, tmp_path: Path
) -> None:
    host = alias(config, own_sshd)

    with pytest.raises(HostKeyMismatch, match="not known here") as caught:
        Connection(host, tmp_path)

    assert caught.value.hint.endswith("ssh tower")
    assert config.with_name("known_hosts").read_text() == ""
    assert "Accepted" not in (own_sshd.folder / "sshd.log").read_text()


def test_another_host_key_than_the_known_or_the_pinned_one_is_refused(
    config: Path, own_sshd: LoopbackSshd, tmp_path: Path
) -> None:
    other = make_key_pair(tmp_path / "other").public_line
    known = alias(config, own_sshd, f"[127.0.0.1]:{own_sshd.port} {other}\n")
    pinned = replace(own_host(own_sshd), host_key=other)

    for host in (known, pinned):
        with pytest.raises(HostKeyMismatch, match="another host key"):
            Connection(host, tmp_path)
    assert "Accepted" not in (own_sshd.folder / "sshd.log").read_text()


def test_a_login_that_is_refused_says_how_to_try_it(sshd: LoopbackSshd, tmp_path: Path) -> None:
    foreign = make_key_pair(tmp_path / "foreign").private_path
    host = replace(own_host(sshd), key=foreign)

    with pytest.raises(LoginRefused, match="tower refused") as caught:
        Connection(host, tmp_path)
    assert caught.value.hint.endswith(f"ssh -p {sshd.port} -l root -i {foreign} 127.0.0.1")


def test_a_computer_that_is_off_or_silent_does_not_answer(
    own_sshd: LoopbackSshd, tmp_path: Path
) -> None:
    host = own_host(own_sshd)
    own_sshd.freeze()

    with pytest.raises(Unreachable, match="tower does not answer"):
        Connection(replace(host, port=1), tmp_path)
    with pytest.raises(Unreachable, match="nothing came in time"):
        Connection(host, tmp_path, connect_s=0.5)


def test_a_cut_connection_is_unreachable_and_another_one_goes_on(
    own_sshd: LoopbackSshd, tmp_path: Path
) -> None:
    shell = OpenSshShell(Connection(own_host(own_sshd), tmp_path), "gpulease/x")
    shell.write("file", b"kept")
    own_sshd.cut()

    for _ in range(2):
        with pytest.raises(Unreachable):
            shell.run("true")
    with pytest.raises(Unreachable):
        list(shell.pull("file", 0, 4))
    shell.close()

    again = OpenSshShell(Connection(own_host(own_sshd), tmp_path), "gpulease/x")
    assert again.read("file", 0, 10) == b"kept"
    again.close()


def test_a_command_that_ends_with_openssh_s_own_code_is_no_lost_connection(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    connection = Connection(own_host(sshd), tmp_path)

    assert connection.run("exit 255").exit_code == 254
    with pytest.raises(RemoteError, match="work folder"):
        connection.run("true", entering="echo no >&2; exit 125")
    connection.close()


def test_commands_share_one_login(own_sshd: LoopbackSshd, tmp_path: Path) -> None:
    shell = OpenSshShell(Connection(own_host(own_sshd), tmp_path), "gpulease/x")

    for _ in range(5):
        shell.run("true")
    shell.close()

    assert (own_sshd.folder / "sshd.log").read_text().count("Accepted publickey") == 1


def test_the_connection_ends_with_this_process_however_it_ends(
    own_sshd: LoopbackSshd, tmp_path: Path
) -> None:
    code = (
        "import sys, pathlib, tempfile\n"
        "from orchestrator.remote.hosts import Host\n"
        "from orchestrator.remote.openssh import Connection\n"
        "name, address, user, port, key, host_key, folder = sys.argv[1:]\n"
        "host = Host(name, address, user, int(port), pathlib.Path(key), host_key)\n"
        "connection = Connection(host, pathlib.Path(folder))\n"
        "print('in', flush=True)\n"
        "sys.stdin.read()\n"
    )
    host = own_host(own_sshd)
    words = [host.name, host.address, host.user, str(host.port), str(host.key), host.host_key]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        os.kill(process.pid, signal.SIGKILL)
    log = own_sshd.folder / "sshd.log"
    give_up_at = time.monotonic() + 10
    while "Disconnected" not in log.read_text() and "closed by" not in log.read_text():
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.05)


def test_a_login_never_asks_and_gives_nothing_of_this_computer_away(tmp_path: Path) -> None:
    argv = login_command(Host("tower", "tower"), tmp_path)

    assert argv[-2:] == ["--", "tower"]
    for setting in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no"):
        assert setting in argv
    assert not {"-p", "-l"} & set(argv)
    assert not any("IdentityFile" in word or "KnownHosts" in word for word in argv)
