"""Machines to test against: a loopback sshd, and a folder of this computer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.remote import ssh
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.hosts import Host
from orchestrator.remote.openssh import Connection, OpenSshShell
from orchestrator.remote.render import agent_zipapp
from orchestrator.remote.shell import Shell
from tests.remote.loopback_sshd import LoopbackSshd

WORK_DIR = "gpulease/gl1-test"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine whose work folder the test can look into."""

    folder: Path
    open: Callable[[], Shell]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    """One server for all tests that leave it as it was."""
    server = LoopbackSshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[LoopbackSshd]:
    """A server that the test may cut and stop."""
    server = LoopbackSshd(tmp_path / "own-sshd")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ssh_shell(own_sshd: LoopbackSshd) -> Iterator[ssh.SshShell]:
    """A shell on `own_sshd`, where the agent lies already."""
    shell = open_ssh(own_sshd, WORK_DIR, stall_s=1.0)
    shell.write(protocol.AGENT, agent_zipapp())
    yield shell
    shell.close()


@pytest.fixture(params=["ssh", "openssh", "folder"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """The same machine over SSH, over a person's OpenSSH, and as a folder."""
    if request.param == "folder":
        folder = tmp_path / "machine"
        return Machine(folder, lambda: FolderShell(folder))
    server: LoopbackSshd = request.getfixturevalue("sshd")
    work_dir = f"gpulease/{tmp_path.name}"
    if request.param == "openssh":
        host = own_host(server)
        return Machine(
            server.home / work_dir,
            lambda: OpenSshShell(Connection(host, tmp_path), work_dir, stall_s=20.0),
        )
    return Machine(server.home / work_dir, lambda: open_ssh(server, work_dir))


@pytest.fixture
def shell(machine: Machine) -> Iterator[Shell]:
    """An open shell on `machine`, where the agent lies already."""
    shell = machine.open()
    shell.write(protocol.AGENT, agent_zipapp())
    yield shell
    shell.close()


def own_host(server: LoopbackSshd) -> Host:
    """The server as a config file names it."""
    at = server.server
    key = server.login_key.private_path
    return Host("tower", at.host, at.user, at.port, key, server.host_key)


def open_ssh(server: LoopbackSshd, work_dir: str, *, stall_s: float = 20.0) -> ssh.SshShell:
    """A shell with the pinned key of `server`."""
    key = server.login_key.private_path
    return ssh.connect(server.server, key, server.host_key, work_dir, 20.0, stall_s=stall_s)
