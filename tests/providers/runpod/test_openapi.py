"""The published API description as an oracle, in its golden copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.providers.base import MachineStatus
from orchestrator.providers.runpod import RunPod, mapping
from orchestrator.spec.resources import Need
from tests.providers import differences
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json
from tests.providers.runpod.openapi import DESCRIPTION, ORACLE, derive, validator
from tests.providers.runpod.samples import gpu, pod, request

FACTS = derive(DESCRIPTION.document)

BODIES = [
    mapping.to_create_body(request()),
    mapping.to_create_body(request(data_centers="EU-RO-1,EU-SE-1")),
]


@pytest.mark.parametrize("body", BODIES)
def test_a_create_sends_only_known_fields_and_every_required_one(body: dict[str, Any]) -> None:
    assert set(body) <= set(FACTS["create"]["known"])
    assert set(FACTS["create"]["required"]) <= set(body)
    assert set(body["gpu"]) <= set(FACTS["create_gpu"]["known"])
    assert set(FACTS["create_gpu"]["required"]) <= set(body["gpu"])


@pytest.mark.parametrize("body", BODIES)
def test_a_create_is_valid_under_the_published_schema(body: dict[str, Any]) -> None:
    validator("CreatePodRequest").validate(body)


@pytest.mark.parametrize(("schema", "sample"), [("Pod", pod()), ("GpuType", gpu())])
def test_the_tests_own_samples_are_valid_under_the_published_schema(
    schema: str, sample: dict[str, Any]
) -> None:
    validator(schema).validate(sample)


def test_every_published_status_is_known_to_the_client() -> None:
    for word in FACTS["statuses"]:
        machine = mapping.to_machine(pod(status=word), "root")
        assert (machine is None) == (word == "TERMINATED")
    assert FACTS["statuses"] == [
        "PROVISIONING",
        "STARTING",
        "RUNNING",
        "EXITED",
        "ERROR",
        "TERMINATED",
    ]


def test_every_published_cloud_has_a_trust_and_every_stock_a_word() -> None:
    assert set(mapping.TRUST) == set(FACTS["clouds"])
    for level in FACTS["availability"]:
        (offer,) = mapping.to_offers({"gpus": [gpu(availability=level)]}, "SECURE", Need())
        assert offer.stock in ("none", "low", "medium", "high")


def test_a_pod_with_the_required_fields_alone_is_read() -> None:
    least = {name: pod().get(name) for name in FACTS["pod"]["required"]}
    machine = mapping.to_machine(least, "root")

    assert machine is not None
    assert machine.status is MachineStatus.RUNNING
    assert machine.usd_per_hour > 0


def test_a_card_with_the_required_fields_alone_is_an_offer() -> None:
    least = {name: gpu()[name] for name in FACTS["gpu_type"]["required"]}

    assert len(mapping.to_offers({"gpus": [least]}, "SECURE", Need())) == 1


def test_a_read_sends_only_what_is_described(
    serve: Callable[[Callable[[Seen], Reply]], LoopbackApi],
) -> None:
    def answer(seen: Seen) -> Reply:
        whole: dict[str, object] = {"gpus": [], "pods": [], "records": []}
        more = {"pagination": {"hasNextPage": True, "nextCursor": "c2"}}
        return as_json(whole if seen.query.get("cursor") else whole | more)

    api = serve(answer)
    runpod = RunPod(SecretStr("k"), url=api.url, log_quiet_s=0.1)

    runpod.list_offers(Need())
    runpod.list_machines()
    runpod.charges(0, 3600)
    runpod.boot_log("abc")
    runpod.boot_trouble("abc")
    runpod.close()

    listed = differences.sent_otherwise("runpod")
    for sent in api.seen:
        for place, error in ORACLE.of_request(sent.method, sent.path, sent.query, sent.body):
            assert place in listed, error
    asked: dict[str, set[str]] = {}
    for sent in api.seen:
        asked.setdefault(sent.path.replace("/abc/", "/{id}/"), set()).update(sent.query)
    for path, names in asked.items():
        otherwise = differences.sent("runpod", f"GET {path}")
        assert names - set(FACTS["query"][path]) == otherwise, path
    assert set(asked) == set(FACTS["query"])
