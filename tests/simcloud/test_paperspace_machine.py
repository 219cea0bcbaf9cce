"""Real machines of the simulated Paperspace: the startup script lets in, and gives the host key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.pool import FOLDER_SETTING
from infra.simcloud.rented import EndedBy
from orchestrator.lifecycle.host_keys import given_host_key, new_host_key
from orchestrator.providers.paperspace.script import startup_script
from tests.simcloud.api import Login, wait_until
from tests.simcloud.paperspace import PaperspaceClient
from tests.simcloud.test_lambda_machine import shown_key

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimCloud]:
    folder = tmp_path_factory.mktemp("simcloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_SETTING, str(folder / "pool"))
        state = folder / "state"
        with SimCloud(state=state, boot_s=1, speed=50, providers=("paperspace",)) as cloud:
            assert cloud.world.backend.kind == "namespaces"
            yield cloud


@pytest.fixture
def real(shared_cloud: SimCloud) -> Iterator[SimCloud]:
    """A cloud where nothing goes wrong yet; what a test leaves is ended."""
    yield shared_cloud
    shared_cloud.clear_faults()
    for machine in shared_cloud.world.machines.values():
        shared_cloud.world.end(machine, EndedBy.PROVIDER)


@pytest.fixture
def client(real: SimCloud) -> Iterator[PaperspaceClient]:
    with PaperspaceClient(real.env) as client:
        yield client


def test_the_script_lets_the_login_in_gives_the_host_key_and_shuts_every_other_port(
    client: PaperspaceClient, login: Login, tmp_path: Path
) -> None:
    private, public = new_host_key(tmp_path, "a-label")
    text = startup_script("paperspace", login.public_key, private, public)
    made = client.create(startupScriptId=client.add_script(text))
    address = client.login(login, made)
    as_root = {"ssh": {"direct": {**address["ssh"]["direct"], "username": "root"}}}

    assert address["ssh"]["direct"]["username"] == "paperspace"
    wait_until(lambda: shown_key(address) == given_host_key(tmp_path, "a-label"))
    assert login.run(address, "sudo id -un && echo $HOME").stdout.startswith("root\n")
    assert login.run(as_root, "true").returncode == 255
    wait_until(lambda: "--force enable" in login.run(address, "cat /run/ufw").stdout)
    assert "allow 22/tcp" in login.run(address, "cat /run/ufw").stdout


def test_without_a_script_nobody_may_log_in(client: PaperspaceClient, login: Login) -> None:
    made = client.create()
    wait_until(lambda: client.state(made) == "ready")
    host = client.show(made)["publicIp"]
    address = {"ssh": {"direct": {"host": host, "port": client.port, "username": client.user}}}

    wait_until(lambda: shown_key(address))
    assert login.run(address, "true").returncode == 255


def test_two_machines_have_an_address_each_and_one_port(
    client: PaperspaceClient, login: Login
) -> None:
    script = client.add_script(startup_script("paperspace", login.public_key))
    first, second = (
        client.login(login, client.create(startupScriptId=script))["ssh"]["direct"]
        for _ in range(2)
    )

    assert first["host"] != second["host"]
    assert first["port"] == second["port"]
