"""The published API description as an oracle, in its golden copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.errors import ProviderDown
from orchestrator.providers.vast.offers import to_queries
from orchestrator.providers.vast.requests import to_create_body
from orchestrator.spec.resources import Need
from tests.providers import differences
from tests.providers.loopback_api import Reply, Seen, as_json
from tests.providers.vast.conftest import Start
from tests.providers.vast.openapi import (
    CALLS,
    DESCRIPTION,
    answer_validator,
    body_schema,
    body_validator,
    derive,
)
from tests.providers.vast.samples import BID, INSTANCE, instance, offer, request, row

DOCUMENT = DESCRIPTION.document
FACTS = derive(DOCUMENT)

BODIES = [
    to_create_body(request()),
    to_create_body(request(offer=offer(bid=BID), bid_usd_per_hour=BID.usd_per_hour)),
]
NEEDS = [
    Need(),
    Need(gpu_memory_gib=24, compute_capability=8.0, duration_s=3600, regions_allow=("CA",)),
]


QUERIES = [
    query
    for need in NEEDS
    for bids in (False, True)
    for query in to_queries(need, ("RTX 4090",), bids=bids)
]


def plain(data: Any) -> Any:
    return json.loads(json.dumps(data, default=float))


@pytest.mark.parametrize("body", BODIES)
def test_a_create_sends_only_known_fields_and_every_required_one(body: dict[str, Any]) -> None:
    listed = differences.sent("vast", "PUT /api/v0/asks/{id}")
    assert set(body) - set(FACTS["create"]["body"]) <= listed
    assert set(FACTS["create"]["required"]) <= set(body)


@pytest.mark.parametrize("body", BODIES)
def test_a_create_is_valid_under_the_published_schema(body: dict[str, Any]) -> None:
    body_validator(DOCUMENT, "create").validate(body)


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_is_valid_under_the_published_schema(query: dict[str, Any]) -> None:
    body_validator(DOCUMENT, "search").validate(query)


@pytest.mark.parametrize(("name", "bodies"), [("create", BODIES), ("search", QUERIES)])
def test_what_is_sent_differs_from_the_description_where_it_is_listed_and_nowhere_else(
    name: str, bodies: list[dict[str, Any]]
) -> None:
    schema = body_schema(DOCUMENT, name)
    found = {key for body in bodies for key in body if key not in schema["properties"]}
    for body in bodies:
        errors = Draft202012Validator(schema).iter_errors(plain(body))
        found |= {str(error.absolute_path[0]) for error in errors}

    path, method = CALLS[name]
    assert found == differences.sent("vast", f"{method.upper()} {path}")


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("create", {"success": True, "new_contract": INSTANCE}),
        ("list", {"success": True, "instances": [instance()], "next_token": None}),
        ("user", {"id": 4321, "balance": 25.0}),
        ("destroy", {"success": True}),
        ("search", {"offers": [row()]}),
    ],
)
def test_the_tests_own_samples_are_valid_under_the_published_schema(
    name: str, sample: dict[str, Any]
) -> None:
    answer_validator(DOCUMENT, name).validate(plain(sample))


def test_a_call_sends_what_is_described(start: Start) -> None:
    answers: dict[tuple[str, str], object] = {
        ("GET", "/api/v1/instances/"): {"success": True, "instances": []},
        ("GET", "/api/v0/charges/"): {"success": True, "results": []},
        ("GET", "/api/v0/users/current/"): {"id": 4321},
        ("GET", f"/api/v0/instances/{INSTANCE}/"): {"instances": plain(instance())},
        ("PUT", "/api/v0/asks/7001/"): {"success": True, "new_contract": INSTANCE},
    }
    reply: Callable[[Seen], Reply] = lambda seen: as_json(  # noqa: E731
        answers.get((seen.method, seen.path), {"success": True})
    )
    vast, api = start(reply)

    vast.list_machines()
    vast.charges(0, 3600)
    vast.identity()
    vast.create_machine(request())
    vast.delete_machine(str(INSTANCE))
    with pytest.raises(ProviderDown):  # the log is not in this answer
        vast.boot_log(str(INSTANCE))

    called = set()
    for sent in api.seen:
        path = sent.path.rstrip("/").replace(str(INSTANCE), "{id}").replace("7001", "{id}")
        (name,) = (one for one, call in CALLS.items() if call == (path, sent.method.lower()))
        assert set(sent.query) <= set(FACTS[name]["query"]), path
        if sent.body:
            body_validator(DOCUMENT, name).validate(body := json.loads(sent.body))
            listed = differences.sent("vast", f"{sent.method} {CALLS[name][0]}")
            assert set(body) - set(FACTS[name]["body"]) <= listed, path
        called.add(name)
    assert called == set(CALLS) - {"search"}
