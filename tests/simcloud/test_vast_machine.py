"""Real machines of the simulated Vast: what they find inside, and how they are reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.pool import FOLDER_SETTING
from infra.simcloud.rented import EndedBy
from tests.simcloud.api import Login, wait_until
from tests.simcloud.vast import Vast, address_of

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimCloud]:
    folder = tmp_path_factory.mktemp("simcloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_SETTING, str(folder / "pool"))
        with SimCloud(state=folder / "state", boot_s=1, speed=50, providers=("vast",)) as cloud:
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
def vast(real: SimCloud) -> Iterator[Vast]:
    with Vast(real.env) as vast:
        yield vast


def onstart(login: Login, *commands: str) -> str:
    """What a careful client starts: its key by hand, then its own."""
    key = f"grep -qF '{login.public_key}' ~/.ssh/authorized_keys || "
    key += f"echo '{login.public_key}' >>~/.ssh/authorized_keys"
    return "; ".join(["touch ~/.no_auto_tmux", key, *commands])


def record(cloud: SimCloud, instance_id: int) -> dict[str, Any]:
    """What the cloud itself says of an instance."""
    return next(row for row in cloud.machines() if row["id"] == str(instance_id))


def test_an_instance_finds_its_environment_and_is_reached_two_ways(
    real: SimCloud, vast: Vast, login: Login
) -> None:
    instance_id = vast.create(onstart=onstart(login, "echo booted"), env={"JOB": "seven"})
    address = vast.login(login, instance_id)

    def say(command: str) -> str:
        return login.run(address, command).stdout

    environment = say("tr '\\0' '\\n' </proc/1/environ").splitlines()
    assert f"CONTAINER_ID={instance_id}" in environment
    assert f"VAST_CONTAINERLABEL=C.{instance_id}" in environment
    assert "JOB=seven" in environment
    assert any(line.startswith("CONTAINER_API_KEY=") for line in environment)
    assert f"VAST_TCP_PORT_22={address['ssh']['direct']['port']}" in environment
    assert "CONTAINER_" not in say("env"), "a login does not see the container's environment"
    assert say("head -c 5 ~/onstart.sh") == "touch"
    row = vast.show(instance_id)
    proxy = address_of(row["ssh_host"], row["ssh_port"])
    assert login.run(proxy, "nvidia-smi -L").stdout.startswith("GPU 0: NVIDIA")
    log = real.world.machines[str(instance_id)].log
    assert "booted" in [line.text for line in log.lines()]


def test_an_instance_ends_itself_with_its_own_key(real: SimCloud, vast: Vast, login: Login) -> None:
    guard = (
        'curl -s -X DELETE -H "Authorization: Bearer $CONTAINER_API_KEY" '
        "-H 'Content-Type: application/json' -d '{}' "
        '"$GPULEASE_VAST_URL/api/v0/instances/$CONTAINER_ID/"'
    )
    wait = 'until [ "$(cut -d. -f1 "$GPULEASE_CLOCK")" -ge 3600 ]; do sleep 0.05; done'
    instance_id = vast.create(onstart=onstart(login, f"({wait}; {guard}) &"))
    vast.login(login, instance_id)

    real.advance(3600)
    wait_until(lambda: record(real, instance_id)["ended_by"])

    assert record(real, instance_id)["ended_by"] == "self"


def test_a_stopped_instance_keeps_its_disk_and_its_host_key(vast: Vast, login: Login) -> None:
    instance_id = vast.create(onstart=onstart(login, "echo x >>~/starts"))
    address = vast.login(login, instance_id)
    key = login.run(address, "touch /workspace/kept ~/kept; cat /etc/ssh/*.pub").stdout

    vast.change(instance_id, state="stopped")
    assert login.run(address, "true").returncode == 255
    vast.change(instance_id, state="running")
    address = vast.login(login, instance_id)

    assert login.run(address, "cat /etc/ssh/*.pub").stdout == key != ""
    assert login.run(address, "ls ~/kept /workspace/kept").returncode == 0
    assert login.run(address, "wc -l <~/starts").stdout.strip() == "2", "onstart runs again"


def test_bytes_both_ways_are_counted_and_billed(real: SimCloud, vast: Vast, login: Login) -> None:
    offer = vast.offer(inet_down_cost={"gt": 0})
    instance_id = vast.create(offer["id"], onstart=onstart(login))
    address = vast.login(login, instance_id)
    before = vast.show(instance_id)

    login.run(address, "head -c 3000000 /dev/zero")

    after = vast.show(instance_id)
    machine = real.world.machines[str(instance_id)]
    assert 0.003 < after["inet_up_billed"] - before["inet_up_billed"] < 0.0032
    assert after["inet_down_billed"] > 0
    expected = after["inet_up_billed"] * offer["inet_up_cost"]
    assert float(machine.traffic_usd()) >= expected > 0
