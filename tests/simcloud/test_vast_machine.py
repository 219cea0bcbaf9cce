"""Real machines of the simulated Vast: what they find inside, and how they are reached."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.pool import FOLDER_SETTING
from infra.simcloud.rented import EndedBy
from orchestrator.providers.base import SshAddress
from orchestrator.remote.render import boot_guard
from orchestrator.remote.ssh import connect
from tests.simcloud.api import Login, wait_until
from tests.simcloud.vast import Vast, address_of, direct

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


def test_a_key_that_is_attached_to_a_running_instance_lets_in(
    vast: Vast, login: Login, tmp_path: Path
) -> None:
    private = tmp_path / "second"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    second = Login(private)
    instance_id = vast.create(onstart=onstart(login))
    address = vast.login(login, instance_id)
    path = f"/api/v0/instances/{instance_id}/ssh/"
    assert second.run(address, "true").returncode == 255

    vast.post(path, json={"ssh_key": second.public_key})
    assert second.run(address, "true").returncode == 0
    (row,) = json.loads(vast.get(path).json()["ssh_keys"])
    vast.delete(f"{path}{row['id']}/")

    assert second.run(address, "true").returncode == 255
    assert login.run(address, "true").returncode == 0


def test_an_accounts_key_lets_in_without_onstart(vast: Vast, login: Login) -> None:
    key_id = vast.post("/api/v0/ssh/", json={"ssh_key": login.public_key}).json()["key"]["id"]
    try:
        instance_id = vast.create(onstart=None)
        assert login.run(vast.login(login, instance_id), "true").returncode == 0
    finally:
        vast.delete(f"/api/v0/ssh/{key_id}/")


def test_a_login_is_greeted_on_stderr_and_may_be_disturbed_on_stdout(
    real: SimCloud, vast: Vast, login: Login
) -> None:
    real.fault("login_noise", times=2)
    calm = vast.create(onstart=onstart(login))
    noisy = vast.create(onstart=onstart(login).partition("; ")[2])
    quiet, loud = vast.login(login, calm), vast.login(login, noisy)

    assert login.run(quiet, "echo here").stdout == "here\n"
    assert login.run(loud, "echo here").stdout == "You are in a tmux session.\nhere\n"


def test_login_noise_is_no_part_of_what_a_command_of_ours_answers(
    real: SimCloud, vast: Vast, login: Login, private_key: Path
) -> None:
    """Our start command makes a login quiet before anybody can log in."""
    real.fault("login_noise")
    now_s = int(real.world.clock.now_s())
    guard = boot_guard("gl1-noise", now_s, now_s + 7200, 7200, "vast")
    made = vast.create(onstart=guard, env={"PUBLIC_KEY": login.public_key})
    host, port = (vast.login(login, made)["ssh"]["direct"][name] for name in ("host", "port"))

    shell = connect(SshAddress(host, port, "root"), private_key, None, "gpulease/noise", 30.0)
    try:
        assert shell.run("echo here").stdout == b"here\n"
    finally:
        shell.close()


def test_a_key_may_be_late_or_never_be_accepted(real: SimCloud, vast: Vast, login: Login) -> None:
    real.fault("ssh_no_auth")
    real.fault("key_late", after=1, seconds=2)
    never, late = (vast.create(onstart=onstart(login)) for _ in range(2))
    wait_until(lambda: "ports" in vast.show(never) and "ports" in vast.show(late))

    wait_until(lambda: "Permission denied" in login.run(direct(vast.show(never)), "true").stderr)
    wait_until(lambda: login.run(direct(vast.show(late)), "true").returncode == 0)
    assert "Permission denied" in login.run(direct(vast.show(never)), "true").stderr


def test_a_proxy_is_a_way_where_the_host_maps_no_port(
    real: SimCloud, vast: Vast, login: Login
) -> None:
    instance_id = vast.create(runtype="ssh_proxy", onstart=onstart(login))
    wait_until(lambda: vast.show(instance_id)["actual_status"] == "running")
    row = vast.show(instance_id)
    proxy = address_of(row["ssh_host"], row["ssh_port"])

    wait_until(lambda: login.run(proxy, "true").returncode == 0)
    assert "ports" not in row


def test_a_command_from_outside_and_the_log_of_onstart(vast: Vast, login: Login) -> None:
    instance_id = vast.create(onstart=onstart(login, "touch ~/made", "echo done"))
    vast.login(login, instance_id)

    def text(path: str, **body: str) -> str:
        url = vast.put(f"/api/v0/instances/{path}/{instance_id}/", json=body).json()["result_url"]
        wait_until(lambda: vast.get(url).status_code == 200)
        return vast.get(url).text

    assert "made" in text("command", command="ls")
    wait_until(lambda: "done" in text("request_logs", tail="100").splitlines())


def test_a_recycled_instance_loses_its_disk(vast: Vast, login: Login) -> None:
    instance_id = vast.create(onstart=onstart(login))
    login.run(vast.login(login, instance_id), "touch ~/lost")

    vast.put(f"/api/v0/instances/recycle/{instance_id}/", json={})

    assert login.run(vast.login(login, instance_id), "ls ~/lost").returncode == 2
