"""What is really asked of each cloud, from the job file on, under its published description."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.hub import HubServer, serve_hub
from infra.simcloud.hub_models import MINILM_ID, HostedModel, minilm_folder
from orchestrator.lifecycle.cargo import RunCargo
from orchestrator.lifecycle.material import prepare
from orchestrator.offers.offer import Offer
from orchestrator.providers import lambda_cloud, paperspace, runpod, vast
from orchestrator.providers.base import Capabilities, MachineRequest
from orchestrator.providers.lambda_cloud.mapping import to_launch_body
from orchestrator.providers.paperspace.mapping import to_create_body as to_paperspace_body
from orchestrator.providers.runpod.mapping import to_create_body as to_runpod_body
from orchestrator.providers.vast.requests import to_create_body as to_vast_body
from orchestrator.spec.job import Job
from tests.lifecycle.clouds import SmallCloud, label
from tests.lifecycle.jobs import own_code, tickets
from tests.providers.lambda_cloud import openapi as lambda_api
from tests.providers.lambda_cloud import samples as lambda_samples
from tests.providers.paperspace import openapi as paperspace_api
from tests.providers.paperspace import samples as paperspace_samples
from tests.providers.runpod import openapi as runpod_api
from tests.providers.runpod import samples as runpod_samples
from tests.providers.vast import openapi as vast_api
from tests.providers.vast import samples as vast_samples
from tests.runs.samples import NOW_S, lease, run


@dataclass(frozen=True)
class Cloud:
    facts: Capabilities
    offer: Offer
    to_body: Callable[[MachineRequest], dict[str, Any]]
    validator: Any


_LAMBDA, _PAPERSPACE = lambda_api.DESCRIPTION.document, paperspace_api.DESCRIPTION.document
CLOUDS = {
    "runpod": Cloud(
        runpod.RunPod.capabilities,
        runpod_samples.offer(),
        to_runpod_body,
        runpod_api.validator("CreatePodRequest"),
    ),
    "vast": Cloud(
        vast.Vast.capabilities,
        vast_samples.offer(),
        to_vast_body,
        vast_api.body_validator(vast_api.DESCRIPTION.document, "create"),
    ),
    "lambda": Cloud(
        lambda_cloud.Lambda.capabilities,
        lambda_samples.offer(),
        lambda request: to_launch_body(request, "a key"),
        lambda_api.validator(
            _LAMBDA, lambda_api.body_schema(_LAMBDA, "/instance-operations/launch")
        ),
    ),
    "paperspace": Cloud(
        paperspace.Paperspace.capabilities,
        paperspace_samples.offer(),
        lambda request: to_paperspace_body(request, "ss1"),
        paperspace_api.validator(paperspace_api.body_schema(_PAPERSPACE, "post", "/machines")),
    ),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    server = serve_hub(models=[HostedModel(MINILM_ID, minilm_folder())])
    yield server
    server.close()


@pytest.mark.parametrize("to_job", [own_code, tickets])
@pytest.mark.parametrize("name", CLOUDS)
def test_what_is_really_asked_of_a_cloud_is_valid_under_its_published_schema(
    tmp_path: Path, hub: HubServer, name: str, to_job: Callable[[Path], Job]
) -> None:
    job, cloud, stand_in = to_job(tmp_path), CLOUDS[name], SmallCloud()
    stand_in.capabilities = cloud.facts
    made = prepare(job, cache_dir=tmp_path / "cache", endpoint=hub.url, token=None)
    rented = lease(label(), sent_s=NOW_S, provider=name, offer=cloud.offer)
    asking = run(job=job.to_document(), launch=made.launch, leases=(rented,))
    cargo = RunCargo(tmp_path / "home", lambda _: stand_in, lambda _: None)

    body = json.loads(json.dumps(cloud.to_body(cargo.request(asking, rented))))

    cloud.validator.validate(body)
    assert label() in json.dumps(body)
