"""The control server, as a test or a person asks it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock, SystemClock
from tests.simcloud.api import Api, body


@pytest.fixture
def control(cloud: SimCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, trust_env=False) as client:
        yield client


def test_machines_calls_and_bill(control: httpx.Client, api: Api, clock: FakeClock) -> None:
    pod = api.create(name="gl1-x")
    clock.advance(60)
    api.delete(f"/pods/{pod['id']}")

    (row,) = control.get("/machines").json()
    assert row == {
        "provider": "runpod",
        "id": pod["id"],
        "account": "main",
        "label": "gl1-x",
        "offer": "NVIDIA L4 x1 SECURE",
        "price_usd_per_hour": "0.432740",
        "status": "ended",
        "created_at": clock.now_s() - 60,
        "ended_at": clock.now_s(),
        "ended_by": "api",
        "billed_usd": "0.007213",
        "ssh_port": row["ssh_port"],
        "kind": "memory",
    }
    calls = control.get("/calls").json()
    assert [(call["method"], call["path"], call["status"]) for call in calls] == [
        ("POST", "/v2/pods", 201),
        ("DELETE", f"/v2/pods/{pod['id']}", 204),
    ]
    assert control.get("/bill").json()["total_usd"] == "0.007213"


def test_faults_and_switches_over_http(control: httpx.Client, api: Api) -> None:
    fault = {"provider": "runpod", "operation": "create", "fault": "rule", "times": 2}
    assert control.post("/faults", json=fault).status_code == 200
    assert api.post("/pods", json=body()).status_code == 400
    assert control.get("/faults").json() == [fault | {"times": 1}]

    control.delete("/faults")
    assert api.post("/pods", json=body()).status_code == 201

    control.post("/switches", json={"page_size": 1, "pod_key_ways": ["graphql"]})
    api.create()
    assert len(api.get("/pods").json()["pods"]) == 1


@pytest.mark.parametrize(
    ("path", "data", "status", "word"),
    [
        ("/faults", {"fault": "flood"}, 400, "known"),
        ("/faults", {}, 400, "fault"),
        ("/switches", {"page_size": "1"}, 400, "page_size"),
        ("/switches", {"nothing": 1}, 400, "known"),
        ("/clock", {}, 400, "advance_s"),
        ("/machines/none/fault", {"fault": "host_lost"}, 404, "none"),
        ("/nowhere", {}, 404, "GET"),
    ],
)
def test_a_mistake_is_explained(
    control: httpx.Client, path: str, data: dict[str, object], status: int, word: str
) -> None:
    reply = control.post(path, json=data)

    assert reply.status_code == status
    assert word in reply.json()["error"]


def test_a_lost_host_takes_the_machine_and_the_bill_with_it(
    cloud: SimCloud, control: httpx.Client, api: Api, clock: FakeClock
) -> None:
    pod = api.create()
    control.post(f"/machines/{pod['id']}/fault", json={"fault": "host_lost"})
    clock.advance(3600)

    assert api.get(f"/pods/{pod['id']}").status_code == 404
    assert cloud.machines()[0]["ended_by"] == "provider"
    assert cloud.machines()[0]["billed_usd"] == "0.000000"


def test_the_clock_moves_for_everybody_who_reads_its_file(tmp_path: Path) -> None:
    with (
        SimCloud(state=tmp_path, machines="memory") as cloud,
        Api(cloud.env) as api,
        httpx.Client(base_url=cloud.url, trust_env=False) as control,
    ):
        shared = SystemClock(Path(cloud.env["GPULEASE_CLOCK"]))
        before_s = shared.now_s()
        pod = api.create()

        control.post("/clock", json={"advance_s": 7200})

        assert 7200 <= shared.now_s() - before_s < 7210
        assert float((tmp_path / "clock").read_text()) == 7200
        assert api.pod(pod["id"])["status"] == "RUNNING"
        assert float(control.get("/bill").json()["total_usd"]) == pytest.approx(0.8655, abs=1e-3)


def test_the_environment_is_a_file_that_a_shell_reads(cloud: SimCloud) -> None:
    text = (cloud.state / "env").read_text()

    lines = [shlex.split(line) for line in text.splitlines()]
    assert dict(word.split("=", 1) for _, word in lines) == cloud.env
    assert (cloud.state / "env").stat().st_mode & 0o077 == 0


def test_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="moon"):
        SimCloud(state=tmp_path, providers=("runpod", "moon"))
