"""Keys, logs and commands of the simulated Vast."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"
OTHER = KEY.replace("run", "other").replace("OMqq", "OMqr")


def environment(cloud: SimCloud, instance_id: int) -> Any:
    boot = cloud.world.machines[str(instance_id)].boot
    assert boot is not None
    return boot.environment


def test_a_key_is_attached_to_an_instance_listed_and_detached(
    vast_cloud: SimCloud, vast: Vast
) -> None:
    instance_id = vast.create()
    path = f"/api/v0/instances/{instance_id}/ssh/"

    attached = vast.post(path, json={"ssh_key": KEY}).json()
    again = vast.post(path, json={"ssh_key": KEY})
    (row,) = json.loads(vast.get(path).json()["ssh_keys"])

    assert attached == {"success": True, "msg": "SSH key attached successfully"}
    assert (again.status_code, "already" in again.json()["msg"]) == (400, True)
    assert row["key"] == KEY
    assert environment(vast_cloud, instance_id)["SSH_PUBLIC_KEY"] == KEY
    assert vast.post(path, json={"ssh_key": "hello"}).json()["error"] == "no_ssh_key"
    assert vast.delete(f"{path}{row['id']}/").json()["success"] is True
    assert vast.get(path).json()["ssh_keys"] == "[]"
    assert environment(vast_cloud, instance_id)["SSH_PUBLIC_KEY"] == ""
    assert vast.post("/api/v0/instances/1/ssh/", json={"ssh_key": KEY}).status_code == 404


def test_an_accounts_key_is_for_instances_that_come_later(vast_cloud: SimCloud, vast: Vast) -> None:
    early = vast.create()
    made = vast.post("/api/v0/ssh/", json={"ssh_key": KEY}).json()["key"]
    assert made["public_key"] == KEY
    late = vast.create()

    assert KEY in environment(vast_cloud, late)["SSH_PUBLIC_KEY"]
    assert KEY not in environment(vast_cloud, early)["SSH_PUBLIC_KEY"]
    assert [row["key"] for row in vast.get("/api/v0/ssh/").json()] == [KEY]
    assert vast.post("/api/v0/ssh/", json={"ssh_key": KEY}).status_code == 400
    assert vast.delete(f"/api/v0/ssh/{made['id']}/").status_code == 200
    assert vast.get("/api/v0/ssh/").json() == []


def test_a_log_is_asked_for_and_fetched_a_moment_later(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = vast.create()
    clock.advance(10)
    path = f"/api/v0/instances/request_logs/{instance_id}"

    asked = vast.put(path, json={"tail": "1"}).json()
    url = asked["result_url"]
    assert httpx.get(url, trust_env=False).status_code == 403
    clock.advance(1)

    assert httpx.get(url, trust_env=False).text.startswith("ssh-ed25519 ")
    url = vast.put(path + "/", json={"daemon_logs": "true"}).json()["result_url"]
    clock.advance(1)
    assert "start container" in httpx.get(url, trust_env=False).text
    assert vast.put("/api/v0/instances/request_logs/1", json={}).status_code == 404


@pytest.mark.parametrize(
    ("command", "status"), [("ls -l /", 200), ("cat /etc/passwd", 400), ("", 400), (None, 483)]
)
def test_only_three_commands_are_run_from_outside(
    vast: Vast, command: str | None, status: int
) -> None:
    path = f"/api/v0/instances/command/{vast.create()}/"

    reply = vast.put(path, json={} if command is None else {"command": command})

    assert reply.status_code == status
    assert ("result_url" in reply.json()) is (status == 200)


def test_an_instance_is_rebooted_and_recycled(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    instance_id = vast.create()
    early = vast.put(f"/api/v0/instances/reboot/{instance_id}/", json={})
    clock.advance(10)
    for action in ("reboot", "recycle"):
        path = f"/api/v0/instances/{action}/{instance_id}/"
        assert vast.put(path, json={}).json() == {"success": True}
        clock.advance(10)
        assert vast.show(instance_id)["actual_status"] == "running"

    machine = vast_cloud.world.machines[str(instance_id)]
    assert early.status_code == 400
    assert (machine.life, machine.disks) == (3, 2)
    assert machine.rate_usd_per_hour() == machine.usd_per_hour
