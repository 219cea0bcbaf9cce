"""`python -m infra.simcloud up`, as a person or `make demo` starts it; nothing may be left."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.simcloud.machines.pool import FOLDER_SETTING
from tests.simcloud.api import Api, Login, wait_until
from tests.simcloud.test_machine import naps, processes

PROJECT = Path(__file__).resolve().parents[2]


class Running:
    """A simulated cloud in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.state = folder / "state"
        self.pool = folder / "pool"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.simcloud", "up", "--state", self.state, *options],
            cwd=PROJECT,
            env=os.environ | {FOLDER_SETTING: str(self.pool)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                break

    @property
    def env(self) -> dict[str, str]:
        lines = (self.state / "env").read_text().splitlines()
        return dict(shlex.split(line)[1].split("=", 1) for line in lines)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)


@pytest.fixture(params=["real", "plain"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    options = ("--no-hub", "--boot-s", "0.1", "--machines", request.param)
    running = Running(tmp_path, *options)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGKILL)
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_and_no_mount_is_left(running: Running, login: Login, number: int) -> None:
    a, b, c = naps(3)
    with Api(running.env) as api:
        pod = api.create(
            args=f"sh -c 'setsid sleep {a} & env -i sh -c \"sleep {b} & sleep {c}\" & /start.sh'",
            env={"PUBLIC_KEY": login.public_key},
        )
        login.wait_for(api, pod["id"])
    words = (a, b, c)
    assert all(processes(word) for word in words)

    code = running.end(number)

    assert code == (0 if number != signal.SIGKILL else -9)
    wait_until(lambda: not any(processes(word) for word in words))
    wait_until(lambda: login.run(pod_address(pod), "true").returncode == 255)
    assert str(running.pool) not in Path("/proc/self/mounts").read_text()
    if number != signal.SIGKILL:
        assert [path.name for path in running.pool.iterdir()] == ["uv"]


@pytest.mark.root
def test_deletion_reaches_processes_that_hide(running: Running, login: Login) -> None:
    a, b = naps(2)
    with Api(running.env) as api:
        pod = api.create(
            args=f"sh -c '(setsid env -i sh -c \"sleep {a} & sleep {b}\" &) ; exec /start.sh'",
            env={"PUBLIC_KEY": login.public_key},
        )
        login.wait_for(api, pod["id"])
        wait_until(lambda: processes(a))
        found = login.run(api.pod(pod["id"]), "nvidia-smi -L; echo $HOME; which uv")
        assert "NVIDIA L4" in found.stdout
        assert found.returncode == 0

        api.delete(f"/pods/{pod['id']}")

        assert not processes(a)
        assert not processes(b)
        machines = httpx.get(running.env["SIMCLOUD_URL"] + "/machines", trust_env=False).json()
    assert machines[0]["ended_by"] == "api"


def test_two_clouds_live_side_by_side_and_a_hub_is_part_of_it(tmp_path: Path) -> None:
    clouds = [
        Running(tmp_path / "one", "--machines", "memory"),
        Running(tmp_path / "two", "--machines", "memory", "--no-hub", "--seed", "5"),
    ]
    try:
        hub = clouds[0].env["HF_ENDPOINT"]
        model = "sentence-transformers/all-MiniLM-L6-v2"
        assert httpx.get(f"{hub}/api/models/{model}", trust_env=False).status_code == 200
        assert "HF_ENDPOINT" not in clouds[1].env
        assert clouds[0].env["RUNPOD_API_KEY"] != clouds[1].env["RUNPOD_API_KEY"]
        for name in ("GPULEASE_RUNPOD_URL", "GPULEASE_VAST_URL", "VAST_API_KEY"):
            assert clouds[0].env[name] != clouds[1].env[name]
    finally:
        codes = [cloud.end(signal.SIGTERM) for cloud in clouds]
        for cloud in clouds:
            assert cloud.process.stdout is not None
            cloud.process.stdout.close()
    assert codes == [0, 0]


def test_a_wrong_option_is_said_in_one_line(tmp_path: Path) -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "infra.simcloud", "up", "--state", tmp_path, "--providers", "moon"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode == 2
    assert tried.stderr == "simcloud: no such provider here: moon\n"


def pod_address(pod: dict[str, object]) -> dict[str, object]:
    """The pod, at an address where nobody listens any more."""
    return pod | {"ssh": {"direct": {"host": "127.0.0.1", "port": 1, "username": "root"}}}
