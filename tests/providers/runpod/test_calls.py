"""The client against a loopback API: what it sends, and what it makes of each answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from threading import Event

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.providers.base import MachineStatus
from orchestrator.providers.runpod import RunPod
from orchestrator.spec.resources import Need
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page, refusal
from tests.providers.runpod.samples import KEY, LABEL, gpu, pod, request

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[RunPod, LoopbackApi]]


def test_offers_are_asked_for_in_both_clouds(start: Start) -> None:
    runpod, api = start(lambda _: as_json({"gpus": [gpu()]}))

    offers = runpod.list_offers(Need(gpu_count=2, cuda="12.8"))

    assert [request.path for request in api.seen] == ["/v2/catalog/gpus"] * 2
    assert [request.query for request in api.seen] == [
        {
            "include": "AVAILABILITY",
            "product": "POD",
            "count": "2",
            "cloud": cloud,
            "minCudaVersion": "12.8",
        }
        for cloud in ("SECURE", "COMMUNITY")
    ]
    assert [offer.trust for offer in offers] == ["secure", "verified"]


def test_a_create_is_one_post_and_gives_the_machine(start: Start) -> None:
    runpod, api = start(lambda _: as_json(pod(status="PROVISIONING", runtime={}), 201))

    machine = runpod.create_machine(request())

    (sent,) = api.seen
    assert (sent.method, sent.path) == ("POST", "/v2/pods")
    assert (machine.id, machine.label, machine.status) == (
        "7h9k2m4n6p",
        LABEL,
        MachineStatus.BOOTING,
    )


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang_up=True),
        page(502),
        refusal(500, "Something went wrong. Please try again later or contact support."),
        Reply(201, b"<html>"),
        as_json({}, 201),
        as_json({"id": 7}, 201),
        as_json(pod(name="somebody-elses"), 201),
        as_json(pod(status="TERMINATED"), 201),
        Reply(307, headers={"Location": "http://127.0.0.1:9/"}),
    ],
)
def test_a_create_without_a_clear_answer_is_unknown_and_not_sent_again(
    start: Start, reply: Reply
) -> None:
    runpod, api = start(lambda _: reply)

    with pytest.raises(OutcomeUnknown):
        runpod.create_machine(request())
    assert len(api.seen) == 1


def test_a_create_to_nobody_is_unknown_too() -> None:
    runpod = RunPod(SecretStr(KEY), url="http://127.0.0.1:9")

    with pytest.raises(OutcomeUnknown):
        runpod.create_machine(request())


def test_sold_out_is_no_capacity(start: Start) -> None:
    detail = "There are no longer any instances available with the requested specifications."
    runpod, _ = start(lambda _: refusal(400, detail))

    with pytest.raises(NoCapacity):
        runpod.create_machine(request())


def test_a_429_with_headers_says_how_long(start: Start) -> None:
    runpod, _ = start(
        lambda _: refusal(429, "rate limit", Retry_After="2", RateLimit='"minute";r=0;t=12')
    )

    with pytest.raises(RateLimited) as caught:
        runpod.create_machine(request())
    assert caught.value.retry_after_s == 12


def test_a_machine_by_its_id(start: Start) -> None:
    runpod, api = start(lambda _: as_json(pod()))

    assert runpod.get_machine("7h9k2m4n6p").id == "7h9k2m4n6p"
    assert api.seen[0].path == "/v2/pods/7h9k2m4n6p"


@pytest.mark.parametrize(
    "reply", [refusal(404, "pod not found"), as_json(pod(status="TERMINATED"))]
)
def test_gone_is_what_the_provider_says_is_gone(start: Start, reply: Reply) -> None:
    runpod, _ = start(lambda _: reply)

    with pytest.raises(MachineNotFound):
        runpod.get_machine("7h9k2m4n6p")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (page(404), ProviderDown),
        (refusal(404, "The requested path was not found."), ProviderDown),
        (refusal(410, "API gone"), ApiGone),
        (refusal(401, "invalid token"), BadCredentials),
        (refusal(403, "access denied"), BadCredentials),
        (page(502), ProviderDown),
        (page(200), ProviderDown),
        (Reply(200), ProviderDown),
        (as_json({}), ProviderDown),
        (as_json(pod(id="other")), ProviderDown),
        (Reply(hang_up=True), ProviderDown),
    ],
)
def test_nothing_else_is_absence(start: Start, reply: Reply, kind: type[ProviderError]) -> None:
    runpod, _ = start(lambda _: reply)

    with pytest.raises(ProviderError) as caught:
        runpod.get_machine("7h9k2m4n6p")
    assert type(caught.value) is kind


@pytest.mark.parametrize("machine_id", ["", "../account/ssh-keys", "a?b", "a b", "a\n"])
def test_an_id_that_is_none_reaches_no_path(start: Start, machine_id: str) -> None:
    runpod, api = start(lambda _: Reply(204))

    for call in (runpod.get_machine, runpod.delete_machine, runpod.boot_log):
        with pytest.raises(InvalidRequest):
            call(machine_id)
    assert api.seen == []


@pytest.mark.parametrize("reply", [Reply(204), as_json({}), refusal(404, "pod not found")])
def test_a_delete_is_accepted_also_when_there_is_nothing_left(start: Start, reply: Reply) -> None:
    runpod, api = start(lambda _: reply)

    runpod.delete_machine("7h9k2m4n6p")

    assert (api.seen[0].method, api.seen[0].path) == ("DELETE", "/v2/pods/7h9k2m4n6p")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(409, "pod is a member of a cluster"), InvalidRequest),
        (refusal(401, "invalid token"), BadCredentials),
        (refusal(403, "access denied"), BadCredentials),
        (refusal(410, "gone"), ApiGone),
        (page(404), ProviderDown),
        (page(502), ProviderDown),
        (Reply(hang_up=True), ProviderDown),
    ],
)
def test_a_delete_that_was_not_accepted_is_an_error(
    start: Start, reply: Reply, kind: type[ProviderError]
) -> None:
    runpod, _ = start(lambda _: reply)

    with pytest.raises(ProviderError) as caught:
        runpod.delete_machine("7h9k2m4n6p")
    assert type(caught.value) is kind


FINGERPRINT = f"key:{hashlib.sha256(KEY.encode()).hexdigest()[:12]}"


def test_the_identity_is_the_user_and_the_keys_fingerprint_and_is_asked_once(start: Start) -> None:
    runpod, api = start(lambda _: as_json({"data": {"myself": {"id": "user_1"}}}))

    assert runpod.identity() == runpod.identity() == f"user:user_1,{FINGERPRINT}"
    (sent,) = api.seen
    assert (sent.path, sent.data()) == ("/graphql", {"query": "{myself{id}}"})


@pytest.mark.parametrize(
    "reply",
    [
        refusal(410, "GraphQL was switched off"),
        refusal(401, "no"),
        page(502),
        Reply(hang_up=True),
        as_json({"data": {"myself": None}}),
        as_json({"errors": [{"message": "Unauthorized"}], "data": None}),
    ],
)
def test_without_graphql_the_key_alone_names_the_account_and_no_balance_is_known(
    start: Start, reply: Reply
) -> None:
    runpod, _ = start(lambda _: reply)

    assert runpod.identity() == FINGERPRINT
    assert runpod.balance_usd() is None


def test_a_graphql_that_fails_is_left_alone_for_a_minute(
    serve: Callable[[Answers], LoopbackApi],
) -> None:
    api = serve(lambda _: refusal(410, "gone"))
    clock = FakeClock()
    runpod = RunPod(SecretStr(KEY), url=api.url, graphql_url=api.url, clock=clock)

    for _ in range(5):
        runpod.identity()
    assert len(api.seen) == 1

    clock.advance(61)
    runpod.identity()
    assert len(api.seen) == 2


def test_the_balance_is_read_exactly(start: Start) -> None:
    runpod, _ = start(lambda _: as_json({"data": {"myself": {"id": "u", "clientBalance": 12.34}}}))

    assert runpod.balance_usd() == Decimal("12.34")


def test_a_boot_log_is_what_the_stream_says_before_it_falls_silent(start: Start) -> None:
    quiet = Event()

    def lines() -> Iterator[bytes]:
        yield b'data: {"line":"one"}\n\n'
        yield b'data: {"line":"two"}\n\n'
        quiet.wait(5)

    runpod, api = start(lambda _: Reply(rest=lines()))

    assert runpod.boot_log("7h9k2m4n6p") == "one\ntwo"
    quiet.set()
    assert (api.seen[0].path, api.seen[0].query) == ("/v2/pods/7h9k2m4n6p/logs", {"tail": "1000"})


def test_a_boot_log_is_not_read_on_once_it_says_enough(start: Start) -> None:
    def lines() -> Iterator[bytes]:
        for number in range(20):
            yield b'data: {"line":"%d"}\n\n' % number
            Event().wait(0.02)

    runpod, _ = start(lambda _: Reply(rest=lines()))

    text = runpod.boot_log("7h9k2m4n6p", lambda text: "3" in text)
    assert "3" in text
    assert "19" not in text


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        (["create container", "start container"], ""),
        (["error pulling image: toomanyrequests: slow down"], ""),
        (["toomanyrequests: 1", "pulling", "toomanyrequests: \x1b[1m2"], "toomanyrequests: [1m2"),
        (
            ["OCI runtime create failed: x", "nvidia-container-cli: cuda>=12.9"],
            "nvidia-container-cli: cuda>=12.9",
        ),
        (["manifest for a/b:1 not found"] * 2, "manifest for a/b:1 not found"),
        (["no space left on device"] * 2, "no space left on device"),
    ],
)
def test_what_a_host_meets_again_and_again_keeps_a_pod_from_coming_up(
    start: Start, lines: list[str], trouble: str
) -> None:
    events = [b"data: " + json.dumps({"line": line}).encode() + b"\n\n" for line in lines]
    runpod, api = start(lambda _: Reply(rest=iter(events)))

    assert runpod.boot_trouble("7h9k2m4n6p") == trouble
    assert api.seen[0].query == {"tail": "1000", "source": "system"}


def test_a_log_without_lines_yet_is_empty(start: Start) -> None:
    quiet = Event()
    runpod, _ = start(lambda _: Reply(hang_up=quiet.wait(5)))

    assert runpod.boot_log("7h9k2m4n6p") == ""
    quiet.set()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(refusal(404, "pod not found"), MachineNotFound), (page(502), ProviderDown)],
)
def test_a_log_that_cannot_be_had_is_an_error(
    start: Start, reply: Reply, kind: type[ProviderError]
) -> None:
    runpod, _ = start(lambda _: reply)

    with pytest.raises(kind):
        runpod.boot_log("7h9k2m4n6p")


def test_charges_are_the_hourly_records_of_the_window(start: Start) -> None:
    record = {
        "startTime": "2026-11-23T10:00:00Z",
        "endTime": "2026-11-23T11:00:00Z",
        "podId": "7h9k2m4n6p",
        "totalAmount": 0.4021,
    }
    runpod, api = start(lambda _: as_json({"records": [record], "metadata": {}}))

    (charge,) = runpod.charges(1795428000, 1795431600)

    assert charge.usd == Decimal("0.4021")
    assert api.seen[0].path == "/v2/billing/pods"
    assert api.seen[0].query == {
        "startTime": "2026-11-23T10:00:00Z",
        "endTime": "2026-11-23T11:00:00Z",
        "bucketSize": "hour",
    }


def test_a_record_that_cannot_be_read_does_not_hide_the_others(start: Start) -> None:
    times = {"startTime": "2026-11-23T10:00:00Z", "endTime": "2026-11-23T11:00:00Z"}
    records = [None, {"podId": "b", "totalAmount": None}, {"podId": "c", "totalAmount": 0.5}]
    whole = [record and {**times, **record} for record in records]
    runpod, _ = start(lambda _: as_json({"records": whole, "metadata": {}}))

    charges = runpod.charges(1795428000, 1795431600)

    assert [(one.machine_id, one.usd) for one in charges] == [
        ("", None),
        ("b", None),
        ("c", Decimal("0.5")),
    ]


@pytest.mark.parametrize("path", ["", "/", "/v2", "/v2/"])
def test_a_base_url_with_or_without_the_version_is_the_same(start: Start, path: str) -> None:
    _, api = start(lambda _: as_json({"pods": []}))

    RunPod(SecretStr(KEY), url=api.url + path).list_machines()

    assert api.seen[0].path == "/v2/pods"
