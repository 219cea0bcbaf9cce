"""The published API description as an oracle, in its golden copy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.errors import ProviderDown
from orchestrator.providers.paperspace import URL, Paperspace, mapping
from orchestrator.spec.resources import Need
from tests.providers.differences import calls_not_described
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json
from tests.providers.paperspace.openapi import (
    DESCRIPTION,
    answer_schema,
    body_schema,
    derive,
    described,
    validator,
)
from tests.providers.paperspace.samples import (
    CREATED_S,
    ID,
    event,
    items,
    machine,
    public_ip,
    request,
    script,
    session,
    snapshot,
    template,
)

DOCUMENT = DESCRIPTION.document
FACTS = derive(DOCUMENT)
SAMPLES = {
    ("GET", "/auth/session"): session(),
    ("GET", "/os-templates"): items(template("A4000")),
    ("GET", "/machine-availability"): {"available": True},
    ("GET", "/machines"): items(machine(), after="pg1"),
    ("POST", "/machines"): {"data": machine(), "event": event()},
    ("GET", "/machines/{id}"): machine(),
    ("DELETE", "/machines/{id}"): {"data": machine(), "event": event(name="deactivate")},
    ("PATCH", "/machines/{id}/stop"): {"data": machine(), "event": event(name="stop")},
    ("GET", "/machine-events"): items(event(state="error", error="no capacity")),
    ("GET", "/startup-scripts"): items(script()),
    ("POST", "/startup-scripts"): script(),
    ("DELETE", "/startup-scripts/{id}"): script(),
    ("GET", "/public-ips"): items(public_ip()),
    ("PUT", "/public-ips/{ip}"): public_ip(assignedMachineId=None),
    ("DELETE", "/public-ips/{ip}"): {"ip": "198.51.100.7"},
    ("GET", "/snapshots"): items(snapshot()),
    ("DELETE", "/snapshots/{id}"): {"data": snapshot(), "event": event(name="snapshot-delete")},
}
NOT_DESCRIBED = calls_not_described("paperspace")


def test_the_address_is_the_production_server() -> None:
    assert FACTS["server"] == URL


def test_a_create_sends_only_known_fields_and_every_required_one() -> None:
    """What is not known is refused."""
    body = mapping.to_create_body(request(), "ss1")

    assert FACTS["create_is_strict"]
    assert set(body) <= set(FACTS["create"]["known"])
    assert set(FACTS["create"]["required"]) <= set(body)
    validator(body_schema(DOCUMENT, "post", "/machines")).validate(body)


@pytest.mark.parametrize("call", SAMPLES)
def test_the_tests_own_samples_are_valid_under_the_published_schemas(call: tuple[str, str]) -> None:
    validator(answer_schema(DOCUMENT, *call, 200)).validate(SAMPLES[call])


def test_every_published_state_is_known_to_the_client() -> None:
    assert set(FACTS["states"]) == set(mapping._STATUS)
    assert "error" in FACTS["event_states"]


def test_what_is_required_alone_is_read() -> None:
    least = {name: machine()[name] for name in FACTS["machine"]}

    made = mapping.to_machine(least, CREATED_S + 600, "paperspace")

    assert "accelerators" not in least
    assert made is not None
    assert (made.gpu, made.gpu_count) == ("RTX A4000", 1)
    assert mapping.to_rows({"items": [], "hasMore": False}, "machines") == ([], "")
    assert set(FACTS["page"]) == {"items", "hasMore"}


def test_only_published_calls_are_made(
    serve: Callable[[Callable[[Seen], Reply]], LoopbackApi],
) -> None:
    deletes = iter([as_json({"code": "PRECONDITION_FAILED", "message": "Off first."}, 412)])

    def answer(seen: Seen) -> Reply:
        if seen.path in NOT_DESCRIBED:
            return as_json({}, 404)
        path = described(seen.path)
        if (seen.method, path) == ("DELETE", "/machines/{id}"):
            return next(deletes, as_json(SAMPLES[seen.method, path]))
        sample = SAMPLES[seen.method, path]
        if seen.query.get("after"):
            sample = {**sample, "hasMore": False}
        return as_json(sample)

    api = serve(answer)
    client = Paperspace(SecretStr("k"), url=api.url, clock=FakeClock(CREATED_S))
    client.list_offers(Need())
    client.create_machine(request())
    client.get_machine(ID)
    client.list_machines()
    client.boot_trouble(ID)
    with suppress(ProviderDown):
        client.delete_machine(ID)
    client.delete_machine(ID)
    for left in mapping.to_leftovers([script()], [public_ip()], [snapshot()], frozenset()):
        client.delete_leftover(left)
    client.list_leftovers()
    client.close()

    made: set[tuple[str, str]] = set()
    for sent in api.seen:
        if sent.path in NOT_DESCRIBED:
            continue
        path = described(sent.path)
        made.add((sent.method, path))
        assert sent.method.lower() in FACTS["calls"][path]
        assert set(sent.query) <= set(FACTS["queries"].get(path, []))
        if sent.body:
            schema = body_schema(DOCUMENT, sent.method.lower(), path)
            validator(schema).validate(sent.data())
    wanted = {(method.upper(), path) for path, found in FACTS["calls"].items() for method in found}
    assert made == wanted == set(SAMPLES)
