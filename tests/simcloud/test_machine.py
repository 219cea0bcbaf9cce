"""Real machines: an sshd each, in namespaces of their own."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.machines.pool import FOLDER_SETTING, Pool
from infra.simcloud.rented import EndedBy
from tests.simcloud.api import Api, Login, body, wait_until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimCloud]:
    folder = tmp_path_factory.mktemp("simcloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_SETTING, str(folder / "pool"))
        cloud = SimCloud(state=folder / "state", boot_s=1, speed=50)
        with cloud:
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
def real_api(real: SimCloud) -> Iterator[Api]:
    with Api(real.env) as api:
        yield api


def record(cloud: SimCloud, pod: dict[str, Any]) -> dict[str, Any]:
    """What the cloud itself says of a pod."""
    return next(row for row in cloud.machines() if row["id"] == pod["id"])


def rent(api: Api, login: Login, command: str = "", **changes: Any) -> dict[str, Any]:
    """A machine on which one can log in."""
    script = command or "exec /start.sh"
    args = json.dumps({"entrypoint": ["/bin/sh", "-c"], "cmd": [script]})
    env = {"PUBLIC_KEY": login.public_key, "JOB": "seven"}
    return login.wait_for(api, api.create(args=args, env=env, **changes)["id"])


def naps(count: int) -> list[str]:
    """Seconds that no other process on this computer sleeps for."""
    return [str(10_000_000 + os.getpid() * 10 + number) for number in range(count)]


def processes(word: str) -> list[int]:
    """Processes of this computer with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_bytes().decode().split("\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_machine_from_create_to_delete(real: SimCloud, real_api: Api, login: Login) -> None:
    (nap,) = naps(1)
    pod = rent(
        real_api,
        login,
        f"echo booted; touch /workspace/started; (setsid sleep {nap} &) ; exec /start.sh",
    )

    def say(command: str) -> str:
        return login.run(pod, command).stdout

    environment = say("tr '\\0' '\\n' </proc/1/environ").splitlines()
    assert f"RUNPOD_POD_ID={pod['id']}" in environment
    assert "JOB=seven" in environment
    assert "RUNPOD_" not in say("env"), "a login does not see the container's environment"
    assert f'RUNPOD_POD_ID="{pod["id"]}"' in say("cat /etc/rp_environment")
    assert say("hostname; ls /workspace; cat ~/.ssh/authorized_keys | wc -l").split() == [
        pod["id"], "started", "1",
    ]  # fmt: skip
    assert processes(nap)

    assert real_api.delete(f"/pods/{pod['id']}").status_code == 204

    assert not processes(nap)
    assert login.run(pod, "true").returncode == 255
    assert not list(real.world.backend._pool.own.glob(pod["id"]))  # type: ignore[attr-defined]
    row = record(real, pod)
    seconds = row["ended_at"] - row["created_at"]
    usd_per_s = float(row["price_usd_per_hour"]) / 3600
    assert row["ended_by"] == "api"
    assert seconds * usd_per_s <= float(row["billed_usd"]) <= (seconds + 1) * usd_per_s + 1e-6


def test_what_a_machine_writes_stays_in_it(real_api: Api, login: Login) -> None:
    pod, other = rent(real_api, login), rent(real_api, login)

    login.run(pod, "touch /usr/local/bin/mine /etc/mine /opt/mine ~/mine; rm -f /usr/bin/ls")

    assert login.run(pod, "ls /etc").returncode == 127
    assert login.run(other, "ls ~/mine /etc/mine").returncode == 2
    assert not Path("/etc/mine").exists()
    assert Path("/usr/bin/ls").exists()


def test_the_log_shows_the_fingerprint_of_the_key_that_sshd_shows(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    pod = rent(real_api, login)
    fingerprint = login.run(pod, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.strip()

    log = real.world.machines[pod["id"]].log

    assert fingerprint.startswith("256 SHA256:")
    wait_until(lambda: fingerprint in [line.text for line in log.lines()])  # relayed by the host


def test_a_machine_ends_itself_with_its_own_key(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    guard = (
        'curl -s -X POST -H "Authorization: Bearer $RUNPOD_API_KEY" '
        "-H 'Content-Type: application/json' -d '{\"action\":\"terminate\"}' "
        '"$GPULEASE_RUNPOD_URL/pods/$RUNPOD_POD_ID/action"'
    )
    wait_for_clock = 'until [ "$(cut -d. -f1 "$GPULEASE_CLOCK")" -ge 3600 ]; do sleep 0.05; done'
    pod = rent(real_api, login, f"/start.sh & {wait_for_clock}; {guard}; sleep 100")

    real.advance(3600)
    wait_until(lambda: record(real, pod)["ended_by"])

    assert record(real, pod)["ended_by"] == "self"
    assert real_api.get(f"/pods/{pod['id']}").status_code == 404
    assert 0.43 < float(record(real, pod)["billed_usd"]) < 0.45


def test_a_command_that_returns_is_started_again_and_bills(real: SimCloud, real_api: Api) -> None:
    pod = real_api.create(args="sh -c 'echo x >>/workspace/boots; wc -l </workspace/boots'")
    log = real.world.machines[pod["id"]].log

    wait_until(lambda: [one.text for one in log.lines() if one.source == "container"][:2] == [
        "1", "2",
    ])  # fmt: skip

    assert any("restarting" in line.text for line in log.lines())
    assert real_api.pod(pod["id"])["status"] == "RUNNING"


def test_a_cut_network_ends_connections_and_comes_back(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    pod = rent(real_api, login)
    reach = ". /etc/rp_environment; curl -s -o /dev/null $GPULEASE_RUNPOD_URL"
    assert login.run(pod, reach).returncode == 0

    real.machine_fault(pod["id"], "network_cut")
    assert login.run(pod, "true").returncode == 255
    assert real_api.pod(pod["id"])["status"] == "RUNNING"

    real.machine_fault(pod["id"], "network_restored")
    assert login.run(pod, reach).returncode == 0


def test_a_stub_gpu_is_seen_until_it_dies(real: SimCloud, real_api: Api, login: Login) -> None:
    pod = rent(real_api, login)
    smi = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader"
    cuda = "python3 -c 'import ctypes; print(ctypes.CDLL(\"libcuda.so.1\").cuInit(0))'"

    assert login.run(pod, smi).stdout == "NVIDIA L4, 24576 MiB, 570.124.06\n"
    assert "GPU 0: NVIDIA L4" in login.run(pod, "nvidia-smi -L").stdout
    assert login.run(pod, cuda).stdout == "0\n"

    real.machine_fault(pod["id"], "gpu_dead")
    assert login.run(pod, smi).returncode == 9
    assert login.run(pod, cuda).stdout == "100\n"


def test_a_gpu_may_be_dead_from_the_start(real: SimCloud, real_api: Api, login: Login) -> None:
    real.fault("gpu_dead")

    pod = rent(real_api, login)

    assert login.run(pod, "nvidia-smi").returncode == 9


def test_a_full_disk_can_be_read_and_not_written(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    pod = rent(real_api, login)
    login.run(pod, "echo kept >~/old")

    real.machine_fault(pod["id"], "disk_full")

    written = login.run(pod, "cat ~/old; head -c 100000 /dev/zero >~/new")
    assert written.stdout == "kept\n"
    assert "No space left on device" in written.stderr


def test_uv_installs_as_this_computers_pip_does(real_api: Api, login: Login) -> None:
    pod = rent(real_api, login)

    made = login.run(
        pod,
        "cd ~ && uv venv -q --python '>=3.11' venv && uv pip install -q -p venv/bin/python idna"
        " && venv/bin/python -c 'import idna; print(idna.__version__)'"
        " && stat -c %h venv/lib/python3*/site-packages/idna/core.py",
    )

    version, links = made.stdout.split()
    assert made.stderr == ""
    assert version
    assert int(links) > 1, "hard links into the shared cache"


@pytest.mark.parametrize(("fault", "bytes_come"), [("ssh_late", False), ("ssh_no_banner", True)])
def test_an_sshd_that_is_late_or_dumb(
    real: SimCloud, real_api: Api, login: Login, fault: str, bytes_come: bool
) -> None:
    real.fault(fault, seconds=3000)
    pod = real_api.create(env={"PUBLIC_KEY": login.public_key})
    wait_until(lambda: real_api.pod(pod["id"])["ssh"]["direct"])

    tried = login.run(real_api.pod(pod["id"]), "true")

    assert tried.returncode == 255
    assert ("refused" in tried.stderr) is not bytes_come


def test_stop_and_start_give_another_address_and_host_key(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    volume = {"persistent": {"size": 10, "path": "/workspace"}}
    pod = rent(real_api, login, mounts=volume)
    key = login.run(pod, "touch /workspace/kept ~/lost; cat /etc/ssh/*.pub").stdout

    real_api.post(f"/pods/{pod['id']}/action", json={"action": "stop"})
    assert login.run(pod, "true").returncode == 255
    real_api.post(f"/pods/{pod['id']}/action", json={"action": "start"})
    again = login.wait_for(real_api, pod["id"])

    assert again["ssh"]["direct"]["port"] != pod["ssh"]["direct"]["port"]
    assert login.run(again, "cat /etc/ssh/*.pub").stdout not in ("", key)
    assert login.run(again, "ls /workspace ~").stdout.split() == ["/root:", "/workspace:", "kept"]


def test_a_megabyte_survives_the_relay(real_api: Api, login: Login) -> None:
    pod = rent(real_api, login)

    sent = login.run(pod, "head -c 1000000 /dev/zero | base64 -w0").stdout

    assert base64.b64decode(sent) == bytes(1_000_000)


def test_a_create_whose_reply_is_lost_still_boots(
    real: SimCloud, real_api: Api, login: Login
) -> None:
    real.fault("5xx_after", operation="create")
    asked = body(env={"PUBLIC_KEY": login.public_key})
    assert real_api.post("/pods", json=asked).status_code == 500

    (row,) = real_api.get("/pods").json()["pods"]
    assert login.run(login.wait_for(real_api, row["id"]), "echo here").stdout == "here\n"


def test_disks_of_a_killed_cloud_are_swept_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    living = Pool(tmp_path)
    (tmp_path / "sim-dead/abc").mkdir(parents=True)
    (tmp_path / "sim-dead/owner").touch()

    Pool(tmp_path).close()

    assert living.disk("m1").exists()
    assert not (tmp_path / "sim-dead").exists()
    living.close()
    assert [path.name for path in tmp_path.iterdir()] == ["uv"]
