"""RunPod's own SDK against the simulator: it sees and does there what our client sees and does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from orchestrator.errors import MachineNotFound, ProviderDown
from orchestrator.providers.base import MachineRequest, MachineStatus
from orchestrator.providers.runpod import RunPod
from orchestrator.spec.resources import Need
from tests.runs.samples import NOW_S

pytestmark = pytest.mark.timeout(300)  # the first test installs the SDK

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
_CARD = "NVIDIA L4"


@pytest.fixture(scope="module")
def sdk(official_client: Callable[[str], Path]) -> str:
    """A Python that has the SDK, in an environment of its own (103 packages)."""
    return str(official_client("runpod==1.12.0"))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SimCloud]:
    with SimCloud(state=tmp_path, machines="memory", clock=FakeClock(NOW_S)) as started:
        yield started


@pytest.fixture
def client(cloud: SimCloud, sdk: str) -> Iterator[RunPod]:
    made = RunPod(
        SecretStr(cloud.env["RUNPOD_API_KEY"]),
        url=cloud.env["GPULEASE_RUNPOD_URL"],
        graphql_url=cloud.env["GPULEASE_RUNPOD_GRAPHQL_URL"],
        python=sdk,
    )
    yield made
    made.close()


def says(sdk: str, cloud: SimCloud, expression: str) -> Any:
    """What an expression over `runpod` gives in the SDK's own Python."""
    program = (
        "import json, os, runpod\n"
        "runpod.api_key = os.environ['RUNPOD_API_KEY']\n"
        f"print('=' + json.dumps({expression}))\n"
    )
    address = cloud.env["GPULEASE_RUNPOD_GRAPHQL_URL"].removesuffix("/graphql")
    told = {**os.environ, **cloud.env, "RUNPOD_API_BASE_URL": address}
    ended = subprocess.run(
        [sdk, "-c", program], env=told, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(next(line for line in ended.stdout.splitlines() if line[:1] == "=")[1:])


def rent(client: RunPod) -> str:
    offer = next(one for one in client.list_offers(Need()) if one.details["gpu_id"] == _CARD)
    request = MachineRequest("gl1-label", offer, "image:1", 20, _KEY, "sleep infinity")
    return client.create_machine(request).id


def test_both_see_the_same_machines(client: RunPod) -> None:
    assert client.second_list() == frozenset()
    ids = frozenset({rent(client), rent(client)})

    assert client.second_list() == ids
    assert ids == {machine.id for machine in client.list_machines()}


@pytest.mark.slow
def test_a_machine_that_we_do_not_list_is_seen_by_the_sdk(client: RunPod, cloud: SimCloud) -> None:
    machine_id = rent(client)
    cloud.fault("list_lag_s", seconds=600.0)

    assert client.list_machines() == []
    assert client.second_list() == frozenset({machine_id})


@pytest.mark.slow
def test_without_graphql_the_sdk_says_nothing(client: RunPod, cloud: SimCloud) -> None:
    cloud.switch(graphql_gone=True)

    with pytest.raises(ProviderDown, match="SDK gave no list"):
        client.second_list()


@pytest.mark.slow
def test_what_the_sdk_rents_stops_and_ends_is_what_we_see(
    client: RunPod, cloud: SimCloud, sdk: str
) -> None:
    made = says(sdk, cloud, f"runpod.create_pod('witness', 'image:1', {_CARD!r}, cloud_type='ALL')")
    machine = client.get_machine(made["id"])
    assert (machine.label, machine.gpu, machine.gpu_count) == ("witness", "L4", 1)
    shown = says(sdk, cloud, f"runpod.get_pod({made['id']!r})")
    assert (shown["name"], shown["desiredStatus"]) == ("witness", "RUNNING")
    assert float(shown["costPerHr"]) == pytest.approx(float(machine.usd_per_hour), abs=1e-6)

    says(sdk, cloud, f"runpod.stop_pod({made['id']!r})")
    assert client.get_machine(made["id"]).status is MachineStatus.STOPPED
    says(sdk, cloud, f"runpod.terminate_pod({made['id']!r})")
    with pytest.raises(MachineNotFound):
        client.get_machine(made["id"])


@pytest.mark.slow
def test_the_sdk_lists_the_cards_that_we_offer(client: RunPod, cloud: SimCloud, sdk: str) -> None:
    cards = {card["id"] for card in says(sdk, cloud, "runpod.get_gpus()")}

    assert {offer.details["gpu_id"] for offer in client.list_offers(Need())} <= cards


def test_the_sdk_sees_the_balance_that_we_see(client: RunPod, cloud: SimCloud, sdk: str) -> None:
    cloud.switch(balance_usd="12.5")
    query = "runpod.api.graphql.run_graphql_query('{myself{clientBalance}}')"

    told = says(sdk, cloud, query)["data"]["myself"]["clientBalance"]

    assert told == pytest.approx(float(client.balance_usd() or 0))
