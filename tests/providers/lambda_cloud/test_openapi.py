"""The published API description as an oracle, in its golden copy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.errors import OutcomeUnknown, ProviderError
from orchestrator.providers.http import Answer
from orchestrator.providers.lambda_cloud import URL, Lambda, mapping, offers, refusals
from orchestrator.spec.resources import Need
from tests.providers import differences
from tests.providers.lambda_cloud.openapi import (
    BASE,
    DESCRIPTION,
    answer_schema,
    body_schema,
    derive,
    validator,
)
from tests.providers.lambda_cloud.samples import ID, image, instance, request, ssh_key, types
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json

DOCUMENT = DESCRIPTION.document
FACTS = derive(DOCUMENT)
SAMPLES = {
    ("GET", "/instance-types"): types("us-east-1", "us-west-2"),
    ("GET", "/images"): {"data": [image()]},
    ("GET", "/instances"): {"data": [instance()]},
    ("GET", "/instances/{id}"): {"data": instance()},
    ("GET", "/ssh-keys"): {"data": [ssh_key()]},
    ("POST", "/ssh-keys"): {"data": ssh_key()},
    ("DELETE", "/ssh-keys/{id}"): {"data": {}},
    ("POST", "/instance-operations/launch"): {"data": {"instance_ids": [ID]}},
    ("POST", "/instance-operations/terminate"): {
        "data": {"terminated_instances": [instance(status="terminating")]}
    },
}


PAGED = ("/instances", "/ssh-keys")


def test_the_address_is_the_production_server() -> None:
    assert FACTS["server"].rstrip("/") + BASE == URL


@pytest.mark.parametrize("name", ["family", "none"])
def test_a_launch_sends_only_known_fields_and_every_required_one(name: str) -> None:
    made = request()
    if name == "none":
        made.offer.details.pop("family")
    body = mapping.to_launch_body(made, "a key")

    assert set(body) <= set(FACTS["launch"]["known"])
    assert set(FACTS["launch"]["required"]) <= set(body)
    assert re.fullmatch(FACTS["tag"]["pattern"], mapping.TAG)
    validator(DOCUMENT, body_schema(DOCUMENT, "/instance-operations/launch")).validate(body)


@pytest.mark.parametrize("call", SAMPLES)
def test_the_tests_own_samples_are_valid_under_the_published_schemas(call: tuple[str, str]) -> None:
    validator(DOCUMENT, answer_schema(DOCUMENT, *call, 200)).validate(SAMPLES[call])


def test_every_published_status_is_known_to_the_client() -> None:
    for word in FACTS["statuses"]:
        machine = mapping.to_machine(instance(status=word), "ubuntu")
        assert (machine is None) == (word in ("terminated", "preempted"))
        assert machine is None or word in mapping._STATUS


def test_what_is_required_alone_is_read() -> None:
    least = {name: instance()[name] for name in FACTS["required"]["Instance"]}
    (table,) = types()["data"].values()
    kind = {name: table["instance_type"][name] for name in FACTS["required"]["InstanceType"]}
    row = {name: image()[name] for name in FACTS["required"]["Image"]}
    least_types = {"data": {kind["name"]: {**table, "instance_type": kind}}}

    assert mapping.to_machine(least, "ubuntu") is not None
    assert len(offers.to_offers(least_types, {"data": [row]}, Need())) == 1


@pytest.mark.parametrize("code", FACTS["launch_refusals"])
def test_every_published_refusal_of_a_launch_proves_that_nothing_was_rented(code: str) -> None:
    status = 401 if "key" in code else 400
    body = b'{"error": {"code": "%s", "message": "No."}}' % code.encode()

    error: ProviderError = refusals.to_launch_error(Answer(status, {}, body))

    assert not isinstance(error, OutcomeUnknown)


def test_only_published_calls_are_made(
    serve: Callable[[Callable[[Seen], Reply]], LoopbackApi],
) -> None:
    def answer(seen: Seen) -> Reply:
        sample = SAMPLES[seen.method, described(seen.path)]
        is_first = seen.method == "GET" and described(seen.path) in PAGED and not seen.query
        return as_json(sample | {"page_token": "two"} if is_first else sample)

    api = serve(answer)
    client = Lambda(SecretStr("k"), url=api.url, clock=FakeClock())
    client.list_offers(Need())
    client.create_machine(request())
    client.get_machine(ID)
    client.list_machines()
    client.delete_machine(ID)
    client.delete_leftover(client.list_leftovers()[0])
    client.close()

    asked: dict[str, set[str]] = {path: set() for path in PAGED}
    for sent in api.seen:
        assert sent.method.lower() in FACTS["calls"][described(sent.path)]
        asked.setdefault(described(sent.path), set()).update(sent.query)
        if sent.method == "POST":
            validator(DOCUMENT, body_schema(DOCUMENT, sent.path)).validate(sent.data())
    for path, names in asked.items():
        assert names == differences.sent("lambda", f"GET {BASE}{path}"), path
    made: dict[str, Any] = {described(sent.path): sent.method for sent in api.seen}
    assert set(made) == set(FACTS["calls"])


def described(path: str) -> str:
    """A path as the description writes it."""
    return re.sub(r"[0-9a-f]{32}", "{id}", path)
