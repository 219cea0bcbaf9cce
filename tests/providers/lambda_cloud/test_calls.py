"""The client against a loopback API: what it sends, and what it makes of each answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.clock import FakeClock
from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    MissingCredentials,
    NoCapacity,
    NotSent,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
)
from orchestrator.providers.base import MachineStatus, ProviderSettings
from orchestrator.providers.lambda_cloud import Lambda, build
from orchestrator.spec.resources import Need
from tests.providers.lambda_cloud.samples import (
    ID,
    KEY,
    LABEL,
    PUBLIC_KEY,
    image,
    instance,
    request,
    ssh_key,
    types,
)
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[Lambda, LoopbackApi]]

LAUNCH = "/instance-operations/launch"
TERMINATE = "/instance-operations/terminate"
LAUNCHED = as_json({"data": {"instance_ids": [ID]}})


def refusal(status: int, code: str, message: str = "No.") -> Reply:
    return as_json({"error": {"code": code, "message": message}}, status)


def by_path(replies: Mapping[str, Reply]) -> Answers:
    """Answers by method and path; a call that is not in the table is a test's mistake."""
    return lambda seen: replies[f"{seen.method} {seen.path}"]


def launching(reply: Reply) -> Answers:
    return by_path({"GET /ssh-keys": as_json({"data": [ssh_key()]}), f"POST {LAUNCH}": reply})


def test_offers_are_types_and_regions_with_an_image_that_is_there(start: Start) -> None:
    table = {
        "GET /instance-types": as_json(types("us-east-1", "us-west-2")),
        "GET /images": as_json({"data": [image()]}),
    }
    client, _ = start(by_path(table))

    found = {offer.id: offer for offer in client.list_offers(Need())}

    assert set(found) == {"gpu_1x_a10 us-east-1", "gpu_1x_a10 us-west-2"}
    assert found["gpu_1x_a10 us-east-1"].details["family"] == "lambda-stack-24-04"
    assert "family" not in found["gpu_1x_a10 us-west-2"].details


def test_a_launch_registers_the_runs_key_and_sends_one_request(start: Start) -> None:
    table = {
        "GET /ssh-keys": as_json({"data": []}),
        "POST /ssh-keys": as_json({"data": ssh_key()}),
        f"POST {LAUNCH}": LAUNCHED,
    }
    client, api = start(by_path(table))

    machine = client.create_machine(request())

    assert [(sent.method, sent.path) for sent in api.seen] == [
        ("GET", "/ssh-keys"),
        ("POST", "/ssh-keys"),
        ("POST", LAUNCH),
    ]
    assert json.loads(api.seen[1].body) == {"name": LABEL, "public_key": PUBLIC_KEY}
    body = json.loads(api.seen[2].body)
    assert body["name"] == LABEL
    assert body["ssh_key_names"] == [LABEL]
    assert "quantity" not in body
    assert (machine.id, machine.label, machine.status) == (ID, LABEL, MachineStatus.BOOTING)


def test_a_key_that_is_registered_is_used_under_its_own_name(start: Start) -> None:
    older = LABEL.replace("-01-", "-00-")
    known = ssh_key(name=older, public_key=f"{PUBLIC_KEY} and another comment")
    table = {"GET /ssh-keys": as_json({"data": [known]}), f"POST {LAUNCH}": LAUNCHED}
    client, api = start(by_path(table))

    client.create_machine(request())

    assert json.loads(api.seen[-1].body)["ssh_key_names"] == [older]


def test_a_key_whose_adding_ended_in_an_error_may_be_there_all_the_same(start: Start) -> None:
    lists = iter([[], [ssh_key()]])
    table = {"POST /ssh-keys": refusal(400, "global/duplicate"), f"POST {LAUNCH}": LAUNCHED}

    def answer(seen: Seen) -> Reply:
        if (seen.method, seen.path) == ("GET", "/ssh-keys"):
            return as_json({"data": next(lists)})
        return by_path(table)(seen)

    client, _ = start(answer)

    assert client.create_machine(request()).id == ID


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(hang_up=True), NotSent),
        (page(502), NotSent),
        (refusal(429, "global/rate-limit"), NotSent),
        (refusal(500, "global/internal-error"), NotSent),
        (refusal(401, "global/invalid-api-key"), BadCredentials),
        (refusal(400, "global/quota-exceeded"), InvalidRequest),
    ],
)
def test_without_a_registered_key_nothing_is_launched(
    start: Start, reply: Reply, kind: type[ProviderError]
) -> None:
    table = {"GET /ssh-keys": as_json({"data": []}), "POST /ssh-keys": reply}
    client, api = start(by_path(table))

    with pytest.raises(kind):
        client.create_machine(request())
    assert LAUNCH not in [sent.path for sent in api.seen]


def test_a_key_list_that_does_not_come_launches_nothing(start: Start) -> None:
    client, api = start(lambda _: page(503))

    with pytest.raises(NotSent):
        client.create_machine(request())
    assert [sent.path for sent in api.seen] == ["/ssh-keys"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang_up=True),
        page(502),
        page(403),  # the edge, not the account
        refusal(500, "global/internal-error"),
        refusal(409, "global/internal-error"),
        refusal(400, "global/internal-error"),
        refusal(400, "provider/internal-unavailable"),
        refusal(409, "global/conflict"),
        Reply(400, b"no"),
        Reply(200, b"<html>"),
        as_json({"data": {}}),
        as_json({"data": {"instance_ids": []}}),
        as_json({"data": {"instance_ids": [ID, "1" * 32]}}),
        as_json({"data": {"instance_ids": [7]}}),
        Reply(307, headers={"Location": "http://127.0.0.1:9/"}),
    ],
)
def test_a_launch_without_a_clear_answer_is_unknown_and_not_sent_again(
    start: Start, reply: Reply
) -> None:
    client, api = start(launching(reply))

    with pytest.raises(OutcomeUnknown):
        client.create_machine(request())
    assert [sent.path for sent in api.seen].count(LAUNCH) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "instance-operations/launch/insufficient-capacity", NoCapacity),
        (400, "instance-operations/launch/file-system-in-wrong-region", OfferRefused),
        (400, "global/quota-exceeded", QuotaExceeded),
        (403, "global/invalid-address", QuotaExceeded),
        (403, "global/account-inactive", BadCredentials),
        (403, "global/forbidden", OfferRefused),
        (401, "global/invalid-api-key", BadCredentials),
        (400, "global/invalid-parameters", InvalidRequest),
        (404, "global/object-does-not-exist", InvalidRequest),
        (400, "global/object-does-not-exist", InvalidRequest),
    ],
)
def test_a_refused_launch_rented_nothing(
    start: Start, status: int, code: str, kind: type[ProviderError]
) -> None:
    client, _ = start(launching(refusal(status, code)))

    with pytest.raises(kind):
        client.create_machine(request())


def test_a_429_to_a_launch_proves_nothing(start: Start) -> None:
    client, _ = start(launching(Reply(429)))

    with pytest.raises(RateLimited):
        client.create_machine(request())
    assert not client.capabilities.rate_limit_is_proof


def test_launches_are_13_s_apart_and_calls_1_s(start: Start, clock: FakeClock) -> None:
    sent_s: list[tuple[str, float]] = []

    def answer(seen: Seen) -> Reply:
        sent_s.append((seen.path, clock.now_s()))
        return launching(LAUNCHED)(seen)

    client, _ = start(answer)
    for _ in range(3):
        client.create_machine(request())

    launches = [at_s for path, at_s in sent_s if path == LAUNCH]
    times = [at_s for _, at_s in sent_s]
    assert all(b - a >= 12.5 for a, b in itertools.pairwise(launches))
    assert all(b - a >= 1.0 for a, b in itertools.pairwise(times))


def test_processes_of_one_home_share_the_pace_of_an_account(
    serve: Callable[[Answers], LoopbackApi], clock: FakeClock, tmp_path: Path
) -> None:
    api = serve(launching(LAUNCHED))
    began_s = clock.now_s()
    for _ in range(2):
        process = Lambda(SecretStr(KEY), url=api.url, paces=tmp_path, clock=clock)
        process.create_machine(request())
        process.close()

    assert clock.now_s() - began_s >= 13.0
    assert not any(KEY in path.name for path in tmp_path.iterdir())


def test_a_computer_that_slept_before_the_launch_does_not_send_it(
    start: Start, clock: FakeClock
) -> None:
    def answer(seen: Seen) -> Reply:
        clock.advance(8 * 3600, asleep=True)
        return launching(LAUNCHED)(seen)

    client, api = start(answer)

    with pytest.raises(NotSent):
        client.create_machine(request())
    assert [sent.path for sent in api.seen] == ["/ssh-keys"]


def test_our_agent_is_named_because_the_edge_blocks_pythons(start: Start) -> None:
    client, api = start(lambda _: as_json({"data": []}))
    client.list_machines()

    assert api.seen[0].headers["user-agent"].startswith("gpulease/")
    assert api.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_an_edge_block_is_no_word_about_the_key(start: Start) -> None:
    client, _ = start(lambda _: Reply(403, b"error code: 1010"))

    with pytest.raises(ProviderDown):
        client.list_machines()


def test_only_lambdas_own_404_says_that_a_machine_is_not_there(start: Start) -> None:
    for reply, kind in (
        (refusal(404, "global/object-does-not-exist"), MachineNotFound),
        (refusal(404, "global/not-found"), ProviderDown),
        (page(404), ProviderDown),
        (refusal(400, "global/invalid-parameters"), InvalidRequest),
        (as_json({"data": None}), ProviderDown),
        (as_json({"data": instance(id="1" * 32)}), ProviderDown),
        (as_json({"data": instance(status="terminated")}), MachineNotFound),
        (as_json({"data": instance(status="preempted")}), MachineNotFound),
    ):
        client, _ = start(lambda _, reply=reply: reply)  # type: ignore[misc]
        with pytest.raises(kind):
            client.get_machine(ID)


def test_a_terminating_machine_is_not_gone(start: Start) -> None:
    client, _ = start(lambda _: as_json({"data": instance(status="terminating")}))

    assert client.get_machine(ID).status is MachineStatus.FAILED


def test_terminated_rows_are_not_machines(start: Start) -> None:
    rows = [instance(), instance(id="1" * 32, status="terminated")]
    client, _ = start(lambda _: as_json({"data": rows, "page_token": None}))

    assert [machine.id for machine in client.list_machines()] == [ID]


def test_a_page_that_is_promised_is_asked_for(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.query.get("page_token") == "two":
            return as_json({"data": [instance(id="2" * 32)], "page_token": None})
        return as_json({"data": [instance()], "page_token": "two"})

    client, api = start(answer)

    assert [machine.id for machine in client.list_machines()] == [ID, "2" * 32]
    assert [sent.query for sent in api.seen] == [{}, {"page_token": "two"}]


@pytest.mark.parametrize(
    "reply",
    [
        as_json({"data": [instance()], "page_token": "again"}),
        as_json({"data": [instance()], "page_token": 7}),
        as_json({"data": [instance(), 7]}),
        as_json({"data": {"id": ID}}),
        as_json({}),
        as_json({"data": [{}]}),
        Reply(200, b'{"data": ['),
    ],
)
def test_half_a_list_is_no_list(start: Start, reply: Reply) -> None:
    client, _ = start(lambda _: reply)

    with pytest.raises(ProviderDown):
        client.list_machines()


def test_one_machine_is_ended_per_call(start: Start) -> None:
    ending = {"data": {"terminated_instances": [instance(status="terminating")]}}
    client, api = start(lambda _: as_json(ending))

    client.delete_machine(ID)

    (sent,) = api.seen
    assert (sent.method, sent.path) == ("POST", TERMINATE)
    assert sent.data() == {"instance_ids": [ID]}


def test_a_terminate_that_does_not_name_the_machine_is_repeated(start: Start) -> None:
    client, _ = start(lambda _: as_json({"data": {"terminated_instances": []}}))

    with pytest.raises(ProviderDown):
        client.delete_machine(ID)


def test_ending_what_is_already_gone_is_no_error(start: Start) -> None:
    client, _ = start(lambda _: refusal(404, "global/object-does-not-exist"))

    client.delete_machine(ID)


def test_an_unsafe_id_is_never_sent(start: Start) -> None:
    client, api = start(lambda _: as_json({"data": instance()}))

    for call in (client.get_machine, client.delete_machine):
        with pytest.raises(InvalidRequest):
            call("../ssh-keys")
    assert api.seen == []


def test_only_keys_with_a_label_of_ours_are_leftovers(start: Start) -> None:
    rows = [ssh_key(), ssh_key(id="aa", name="my laptop"), ssh_key(id="bb", name="gl1-nearly")]
    client, api = start(lambda _: as_json({"data": rows}))

    (found,) = client.list_leftovers()

    assert (found.kind, found.label) == ("ssh key", LABEL)
    client.delete_leftover(found)
    assert (api.seen[-1].method, api.seen[-1].path) == ("DELETE", f"/ssh-keys/{found.id}")


@pytest.mark.parametrize("code", ["global/not-found", "global/object-does-not-exist"])
def test_a_leftover_that_is_gone_already_is_no_error(start: Start, code: str) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.method == "DELETE":
            return refusal(404, code)
        return as_json({"data": [ssh_key()]})

    client, _ = start(answer)

    client.delete_leftover(client.list_leftovers()[0])


def test_who_pays_is_known_by_the_key_alone(start: Start) -> None:
    client, api = start(lambda _: as_json({}))

    assert client.identity().startswith("key:")
    assert KEY not in client.identity()
    assert api.seen == []


def test_it_is_built_for_lambdas_own_address_and_login(tmp_path: Path) -> None:
    with pytest.raises(MissingCredentials, match="Lambda"):
        build(ProviderSettings(home=tmp_path))
    built = build(ProviderSettings(home=tmp_path, key=SecretStr(KEY)))

    assert built.name == "lambda"
    assert list(tmp_path.iterdir()) == []
