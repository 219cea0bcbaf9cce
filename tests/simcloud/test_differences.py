"""The simulated clouds answer otherwise than described where it is listed, and nowhere else."""

from __future__ import annotations

import httpx

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.providers.differences import ANSWERED, answered
from tests.providers.lambda_cloud.openapi import ORACLE as LAMBDA
from tests.providers.oracle import Oracle
from tests.providers.paperspace.openapi import ORACLE as PAPERSPACE
from tests.providers.runpod.openapi import ORACLE as RUNPOD
from tests.providers.vast.openapi import ORACLE as VAST
from tests.simcloud.api import Api
from tests.simcloud.described import deviations
from tests.simcloud.lambda_cloud import PUBLIC_KEY, LambdaClient
from tests.simcloud.paperspace import PaperspaceClient
from tests.simcloud.vast import Vast


def collected(client: httpx.Client, oracle: Oracle) -> set[str]:
    """Where the answers to this client will have differed; nothing is held against them."""
    places: set[str] = set()

    def look(response: httpx.Response) -> None:
        places.update(place for place, _ in deviations(oracle, response))

    client.event_hooks = {"response": [look]}
    return places


def runpod_story(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    cloud.fault("zero_gpu")
    pod = api.create()
    api.names()
    clock.advance(10)
    api.pod(pod["id"])
    cloud.fault("start_zero_gpu")
    for action in ("stop", "start"):
        api.post(f"/pods/{pod['id']}/action", json={"action": action})


def vast_story(cloud: SimCloud, vast: Vast, clock: FakeClock) -> None:
    for field in ("geolocation", "cpu_cores"):
        (ask, *_) = [row["id"] for row in vast.search() if row[field] is None]
        vast.show(vast.create(ask))
    vast.ids()
    clock.advance(60)
    vast.show(vast.create())
    clock.advance(60)
    for instance_id in vast.ids():
        vast.show(instance_id)
    vast.show(1)
    cloud.fault("insufficient_funds")
    vast.rent()
    for _ in range(2):
        vast.post("/api/v0/ssh/", json={"ssh_key": PUBLIC_KEY})
    refused_on_vast(cloud, vast)


def refused_on_vast(cloud: SimCloud, vast: Vast) -> None:
    """Statuses that are not described."""
    cloud.fault("no_capacity", shape="409")
    vast.rent()
    cloud.fault("search_quota")
    vast.post("/api/v0/bundles/", json={})
    (instance_id, *_) = vast.ids()
    for key in ("", "Bearer wrong"):
        for path in ("v1/instances/", f"v0/instances/{instance_id}/", "v0/users/current/"):
            vast.get(f"/api/{path}", headers={"Authorization": key})
    cloud.fault("forbidden", operation="delete")
    vast.destroy(instance_id)


def lambda_story(cloud: SimCloud, client: LambdaClient) -> None:
    cloud.switch(shows_page_token=True)
    client.add_key()
    client.post("/ssh-keys", json={"name": "a key", "public_key": f"{PUBLIC_KEY}X"})
    client.add_key("another key", f"{PUBLIC_KEY}X")
    cloud.switch(page_size=1)
    client.get("/ssh-keys")
    client.create()
    client.ids()
    cloud.switch(calls_per_s=1.0)
    client.ids()
    for row in ANSWERED:
        if (row.provider, row.place) == ("lambda", "HTTP 429"):
            method, _, path = row.call.partition(" ")
            client.request(method, path.removeprefix("/api/v1").replace("{id}", "0" * 32))


def paperspace_story(cloud: SimCloud, client: PaperspaceClient) -> None:
    cloud.switch(null_next_page=True)
    client.create()
    for row in ANSWERED:
        if row.provider == "paperspace":
            client.get(row.call.partition(" ")[2])


def test_runpod_answers_otherwise_than_described_only_where_it_is_listed(
    cloud: SimCloud, api: Api, clock: FakeClock
) -> None:
    places = collected(api, RUNPOD)

    runpod_story(cloud, api, clock)

    assert places == answered("runpod")


def test_vast_answers_otherwise_than_described_only_where_it_is_listed(
    vast_cloud: SimCloud, vast: Vast, clock: FakeClock
) -> None:
    places = collected(vast, VAST)

    vast_story(vast_cloud, vast, clock)

    assert places == answered("vast")


def test_lambda_answers_otherwise_than_described_only_where_it_is_listed(
    lambda_cloud: SimCloud, lambda_api: LambdaClient
) -> None:
    places = collected(lambda_api, LAMBDA)

    lambda_story(lambda_cloud, lambda_api)

    assert places == answered("lambda")


def test_paperspace_answers_otherwise_than_described_only_where_it_is_listed(
    paperspace: SimCloud, paperspace_api: PaperspaceClient
) -> None:
    places = collected(paperspace_api, PAPERSPACE)

    paperspace_story(paperspace, paperspace_api)

    assert places == answered("paperspace")
