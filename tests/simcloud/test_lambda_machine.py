"""Real machines of the simulated Lambda: who may log in, and by which host key they are known."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.pool import FOLDER_SETTING
from infra.simcloud.rented import EndedBy
from orchestrator.lifecycle.host_keys import given_host_key, new_host_key
from orchestrator.lifecycle.steps.ship import _ASK_CUDA
from orchestrator.providers.lambda_cloud.mapping import to_user_data
from orchestrator.remote.keys import host_key_line
from tests.simcloud.api import Login, wait_until
from tests.simcloud.lambda_cloud import LambdaClient

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimCloud]:
    folder = tmp_path_factory.mktemp("simcloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_SETTING, str(folder / "pool"))
        state = folder / "state"
        with SimCloud(state=state, boot_s=1, speed=50, providers=("lambda",)) as cloud:
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
def client(real: SimCloud) -> Iterator[LambdaClient]:
    with LambdaClient(real.env) as client:
        yield client


def shown_key(address: dict[str, Any]) -> str:
    """The host key that answers there now; "" when none does."""
    where = address["ssh"]["direct"]
    command = ["ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(where["port"]), where["host"]]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return host_key_line(told) if "ssh-ed25519 " in told else ""


def test_ubuntu_logs_in_with_sudo_and_root_does_not(client: LambdaClient, login: Login) -> None:
    address = client.login(login, client.create(login.public_key))
    as_root = {"ssh": {"direct": {**address["ssh"]["direct"], "username": "root"}}}

    assert address["ssh"]["direct"]["username"] == "ubuntu"
    assert login.run(address, "sudo id -un && echo $HOME").stdout.startswith("root\n")
    assert login.run(as_root, "true").returncode == 255


def test_two_machines_have_an_address_each_and_one_port(client: LambdaClient, login: Login) -> None:
    first = client.login(login, client.create(login.public_key))["ssh"]["direct"]
    second = client.login(login, client.create(login.public_key))["ssh"]["direct"]

    assert first["host"] != second["host"]
    assert first["port"] == second["port"]


def test_cloud_init_puts_in_the_host_key_that_was_given(
    client: LambdaClient, login: Login, tmp_path: Path
) -> None:
    private, public = new_host_key(tmp_path, "a-label")
    made = client.create(login.public_key, user_data=to_user_data(private, public))
    address = client.login(login, made)

    wait_until(lambda: shown_key(address) == given_host_key(tmp_path, "a-label"))
    assert login.run(address, "true").returncode == 0


def test_a_gpu_may_be_listed_and_dead(real: SimCloud, client: LambdaClient, login: Login) -> None:
    well = client.login(login, client.create(login.public_key))
    real.fault("cuda_dead")
    dead = client.login(login, client.create(login.public_key))

    for address in (well, dead):
        assert "NVIDIA A10" in login.run(address, "nvidia-smi -L").stdout
    started = login.run(well, _ASK_CUDA)
    assert (started.returncode, started.stdout) == (0, "1 12.8\n")
    failed = login.run(dead, _ASK_CUDA)
    assert (failed.returncode, "error 802" in failed.stderr) == (1, True)


@pytest.mark.slow
def test_a_machine_that_is_halted_from_inside_bills_on_and_becomes_unhealthy(
    real: SimCloud, client: LambdaClient, login: Login
) -> None:
    made = client.create(login.public_key)
    address = client.login(login, made)

    login.run(address, "sudo poweroff")
    wait_until(lambda: client.show(made)["status"] == "unhealthy")

    assert login.run(address, "true").returncode == 255
    (row,) = (one for one in real.machines() if one["id"] == made)
    assert (row["ended_at"], row["billed_usd"] != "0.000000") == (None, True)
    client.terminate(made)
    wait_until(lambda: real.machines()[-1]["ended_by"] == "api")
