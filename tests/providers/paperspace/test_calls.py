"""The client against a loopback API: what it sends, and what it makes of each answer."""

from __future__ import annotations

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
    NotSent,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
)
from orchestrator.providers.base import GuardWay, Leftover, MachineStatus, ProviderSettings
from orchestrator.providers.paperspace import Paperspace, build
from orchestrator.providers.paperspace.mapping import _SPARE_HOURS, PUBLIC_IP, SCRIPT
from orchestrator.spec.resources import Need
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page
from tests.providers.paperspace.samples import (
    CREATED_S,
    ID,
    KEY,
    LABEL,
    PUBLIC_KEY,
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

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[Paperspace, LoopbackApi]]

MACHINE = f"/machines/{ID}"
NO_SUCH = as_json({"code": "NOT_FOUND", "message": "Machine not found"}, 404)
NONE = as_json(items())
CREATED = as_json({"data": machine(state="provisioning", publicIp=None), "event": event()})
GOOD = as_json({"isInGoodStanding": True, "hasPaymentMethod": True, "isAdminLocked": False})


def refusal(status: int, code: str) -> Reply:
    return as_json({"code": code, "message": "No."}, status)


def by_path(replies: Mapping[str, Reply]) -> Answers:
    """Answers by method and path; a call that is not in the table is a test's mistake."""
    return lambda seen: replies[f"{seen.method} {seen.path}"]


def calls(api: LoopbackApi) -> list[str]:
    return [f"{sent.method} {sent.path}" for sent in api.seen]


def offering(**changes: Reply) -> dict[str, Reply]:
    table = {
        "GET /auth/session": as_json(session()),
        "GET /billing/account-standing": GOOD,
        "GET /os-templates": as_json(items(template("A4000", "P4000"))),
        "GET /machine-availability": as_json({"available": True}),
    }
    return table | {f"GET /{name.replace('_', '-')}": reply for name, reply in changes.items()}


def creating(reply: Reply) -> Answers:
    return by_path({"POST /startup-scripts": as_json(script()), "POST /machines": reply})


def test_offers_are_types_with_a_template_where_stock_is_not_denied(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path == "/machine-availability":
            return as_json({"available": seen.query["region"] != "ca1"})
        return by_path(offering())(seen)

    client, api = start(answer)

    found = {offer.id for offer in client.list_offers(Need(gpu_memory_gib=16))}

    assert {one for one in found if one.startswith("A4000")} == {"A4000 ny2", "A4000 ams1"}
    assert {one for one in found if one.startswith("P4000")} == {
        "P4000 ny2",
        "P4000 ca1",
        "P4000 ams1",
    }
    asked = [sent.query["machineType"] for sent in api.seen if "availability" in sent.path]
    assert asked == ["A4000"] * 3


@pytest.mark.parametrize("status", [404, 429])
def test_a_hint_at_stock_that_cannot_be_had_hides_no_offer(start: Start, status: int) -> None:
    """An older API has no such call."""
    client, api = start(by_path(offering(machine_availability=page(status))))

    assert len(client.list_offers(Need(gpu_memory_gib=16))) == 6
    assert calls(api).count("GET /machine-availability") == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [(as_json(None), "no session"), (refusal(401, "UNAUTHORIZED"), "the key was refused")],
)
def test_a_key_without_a_session_is_a_bad_key_also_with_status_200(
    start: Start, reply: Reply, told: str
) -> None:
    client, _ = start(by_path(offering() | {"GET /auth/session": reply}))

    with pytest.raises(BadCredentials, match=told):
        client.list_offers(Need())


def test_an_account_that_may_not_rent_says_so_before_anything_is_tried(start: Start) -> None:
    barred = as_json({"isInGoodStanding": False, "hasPaymentMethod": True, "isAdminLocked": False})
    client, _ = start(by_path(offering() | {"GET /billing/account-standing": barred}))

    with pytest.raises(BadCredentials, match="not in good standing"):
        client.list_offers(Need())


def test_a_standing_that_cannot_be_read_bars_nobody(start: Start) -> None:
    """The call is in pspace's types, and in no published description."""
    client, _ = start(by_path(offering() | {"GET /billing/account-standing": page(404)}))

    assert client.list_offers(Need())


def test_a_create_leaves_a_script_with_the_runs_key_and_sends_one_request(start: Start) -> None:
    client, api = start(creating(CREATED))

    made = client.create_machine(request())

    assert calls(api) == ["POST /startup-scripts", "POST /machines"]
    left, body = (json.loads(sent.body) for sent in api.seen)
    assert (left["name"], left["isRunOnce"]) == (LABEL, True)
    assert PUBLIC_KEY in left["script"]
    assert (body["name"], body["startupScriptId"]) == (LABEL, "ss1")
    assert (made.id, made.label, made.status) == (ID, LABEL, MachineStatus.BOOTING)
    assert made.created_at_s == CREATED_S


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(hang_up=True), NotSent),
        (page(502), NotSent),
        (refusal(429, "TOO_MANY_REQUESTS"), NotSent),
        (as_json({}), NotSent),
        (refusal(401, "UNAUTHORIZED"), BadCredentials),
        (refusal(413, "PAYLOAD_TOO_LARGE"), InvalidRequest),
    ],
)
def test_without_a_startup_script_nothing_is_created(
    start: Start, reply: Reply, kind: type[ProviderError]
) -> None:
    client, api = start(by_path({"POST /startup-scripts": reply}))

    with pytest.raises(ProviderError) as caught:
        client.create_machine(request())
    assert type(caught.value) is kind
    assert calls(api) == ["POST /startup-scripts"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang_up=True),
        page(502),
        refusal(500, "INTERNAL_SERVER_ERROR"),
        refusal(409, "CONFLICT"),
        as_json({}),
        as_json({"data": {}, "event": event()}),
        as_json({"data": machine(name="another"), "event": event()}),
        as_json({"data": machine(dtDeleted="2026-11-28T12:00:00Z"), "event": event()}),
        Reply(200, b"{"),
    ],
)
def test_a_create_without_a_clear_answer_is_unknown_and_not_sent_again(
    start: Start, reply: Reply
) -> None:
    client, api = start(creating(reply))

    with pytest.raises(OutcomeUnknown):
        client.create_machine(request())
    assert calls(api).count("POST /machines") == 1


def test_a_computer_that_slept_before_the_create_does_not_send_it(
    start: Start, clock: FakeClock
) -> None:
    def answer(seen: Seen) -> Reply:
        clock.advance(3600)
        return as_json(script())

    client, api = start(answer)

    with pytest.raises(NotSent):
        client.create_machine(request())
    assert calls(api) == ["POST /startup-scripts"]


def test_only_paperspaces_own_404_says_that_a_machine_is_not_there(start: Start) -> None:
    replies = iter([NO_SUCH, page(404), refusal(410, "GONE"), as_json(machine(id="other"))])
    client, _ = start(lambda seen: next(replies))

    with pytest.raises(MachineNotFound):
        client.get_machine(ID)
    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            client.get_machine(ID)
        assert not isinstance(caught.value, MachineNotFound)


def test_a_machine_that_is_shown_with_a_date_of_deletion_is_gone(start: Start) -> None:
    deleted = machine(dtDeleted="2026-11-28T12:01:00.000Z")
    client, _ = start(
        by_path({f"GET {MACHINE}": as_json(deleted), "GET /machines": as_json(items(deleted))})
    )

    with pytest.raises(MachineNotFound):
        client.get_machine(ID)
    assert client.list_machines() == []


def test_pages_are_followed_by_their_mark_the_oldest_first(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        if "after" not in seen.query:
            return as_json(items(machine(id="m1"), after="p2"))
        return as_json({**items(machine(id="m1"), machine(id="m2")), "nextPage": None})

    client, api = start(answer)

    assert [one.id for one in client.list_machines()] == ["m1", "m2"]
    assert [sent.query for sent in api.seen] == [
        {"limit": "100", "order": "asc"},
        {"limit": "100", "order": "asc", "after": "p2"},
    ]


@pytest.mark.parametrize(
    "reply", [NO_SUCH, page(200), as_json(items(machine(id="m1"), after="p2"))]
)
def test_half_a_list_is_no_list(start: Start, reply: Reply) -> None:
    client, _ = start(lambda seen: reply)

    with pytest.raises(ProviderDown):
        client.list_machines()


def test_a_running_machine_is_deleted_without_being_stopped_first(start: Start) -> None:
    answer = as_json({"data": machine(state="stopping"), "event": event(name="deactivate")})
    client, api = start(by_path({"GET /public-ips": NONE, f"DELETE {MACHINE}": answer}))

    client.delete_machine(ID)

    assert calls(api) == ["GET /public-ips", f"DELETE {MACHINE}"]


@pytest.mark.parametrize("status", [400, 409, 412])
def test_a_delete_that_is_refused_while_it_runs_stops_the_machine_and_is_repeated(
    start: Start, status: int
) -> None:
    code = {400: "BAD_REQUEST", 409: "CONFLICT", 412: "PRECONDITION_FAILED"}[status]
    deletes = iter([refusal(status, code), as_json({"data": machine(state="off")})])

    def answer(seen: Seen) -> Reply:
        if seen.method == "DELETE":
            return next(deletes)
        stopped = {"data": machine(state="stopping"), "event": event(name="stop")}
        return by_path({"GET /public-ips": NONE, f"PATCH {MACHINE}/stop": as_json(stopped)})(seen)

    client, api = start(answer)

    with pytest.raises(ProviderDown, match="must be off"):
        client.delete_machine(ID)
    client.delete_machine(ID)

    assert calls(api).count(f"PATCH {MACHINE}/stop") == 1


def test_a_patch_goes_out_without_a_body_and_without_the_type_of_one(start: Start) -> None:
    """The type of JSON with nothing behind it is refused as a PARSE_ERROR."""
    client, api = start(
        by_path(
            {
                "GET /public-ips": NONE,
                f"DELETE {MACHINE}": refusal(412, "PRECONDITION_FAILED"),
                f"PATCH {MACHINE}/stop": refusal(400, "BAD_REQUEST"),  # it stops already
            }
        )
    )

    with pytest.raises(ProviderDown):
        client.delete_machine(ID)
    for sent in api.seen:
        assert (sent.body, "content-type" in sent.headers) == (b"", False)


def test_deleting_what_is_already_gone_is_no_error(start: Start) -> None:
    client, _ = start(by_path({"GET /public-ips": NONE, f"DELETE {MACHINE}": NO_SUCH}))

    client.delete_machine(ID)


def test_a_static_address_is_given_back_before_its_machine_is_deleted(start: Start) -> None:
    """It would outlive the machine, bill, and name nobody."""
    ip = "/public-ips/198.51.100.7"
    others = public_ip(ip="198.51.100.8", assignedMachineId="another")
    client, api = start(
        by_path(
            {
                "GET /public-ips": as_json(items(public_ip(), others)),
                f"PUT {ip}": as_json(public_ip(assignedMachineId=None)),
                f"DELETE {ip}": as_json({"ip": "198.51.100.7"}),
                f"DELETE {MACHINE}": as_json({"data": machine(), "event": event()}),
            }
        )
    )

    client.delete_machine(ID)

    assert calls(api) == ["GET /public-ips", f"PUT {ip}", f"DELETE {ip}", f"DELETE {MACHINE}"]
    assert api.seen[1].data() == {"machineId": None}


def test_addresses_that_cannot_be_read_hold_up_no_delete(start: Start) -> None:
    answer = as_json({"data": machine(), "event": event()})
    client, api = start(by_path({"GET /public-ips": page(502), f"DELETE {MACHINE}": answer}))

    client.delete_machine(ID)

    assert calls(api)[-1] == f"DELETE {MACHINE}"


@pytest.mark.parametrize("machine_id", ["", "a/b", "x" * 65, "../auth"])
def test_an_unsafe_id_is_never_sent(start: Start, machine_id: str) -> None:
    client, api = start(by_path({}))

    for call in (client.get_machine, client.delete_machine, client.boot_trouble):
        with pytest.raises(InvalidRequest):
            call(machine_id)
    assert api.seen == []


def test_an_event_that_failed_is_told_as_what_keeps_it_from_coming_up(start: Start) -> None:
    failed = event(name="start", state="error", error="no capacity")
    client, api = start(by_path({"GET /machine-events": as_json(items(event(), failed))}))

    assert client.boot_trouble(ID) == "start: no capacity"
    assert api.seen[0].query["machineId"] == ID


def test_who_pays_is_the_team_and_the_key_where_that_cannot_be_read(start: Start) -> None:
    replies = iter([page(502), as_json(session())])
    client, api = start(lambda seen: next(replies))

    first, second, third = client.identity(), client.identity(), client.identity()

    assert second == third == f"user:te1a2b3c,{first}"
    assert first.startswith("key:") and KEY not in first
    assert len(api.seen) == 2


def test_the_identity_of_a_bad_key_is_nobodys(start: Start) -> None:
    client, _ = start(by_path({"GET /auth/session": as_json(None)}))

    with pytest.raises(BadCredentials):
        client.identity()


def test_what_outlives_a_machine_is_found_and_removed(start: Start) -> None:
    client, api = start(
        by_path(
            {
                "GET /startup-scripts": as_json(items(script(), script(name="another's"))),
                "GET /public-ips": as_json(items(public_ip())),
                "GET /snapshots": as_json(items(snapshot())),
                "GET /machines": NONE,
                "DELETE /public-ips/198.51.100.7": as_json({"ip": "198.51.100.7"}),
                "DELETE /snapshots/sn1": as_json({"data": snapshot(), "event": event()}),
                "DELETE /startup-scripts/ss1": NO_SUCH,
            }
        )
    )

    found = client.list_leftovers()
    for left in found:
        client.delete_leftover(left)

    assert {left.label for left in found} == {LABEL}
    assert [call for call in calls(api) if call.startswith("DELETE")] == [
        "DELETE /public-ips/198.51.100.7",
        "DELETE /snapshots/sn1",
        "DELETE /startup-scripts/ss1",
    ]


@pytest.mark.parametrize("reply", [page(404), refusal(500, "INTERNAL_SERVER_ERROR")])
def test_a_leftover_that_was_not_removed_is_an_error(start: Start, reply: Reply) -> None:
    client, _ = start(lambda seen: reply)

    for kind, thing in ((SCRIPT, "ss1"), (PUBLIC_IP, "198.51.100.7")):
        with pytest.raises(ProviderDown):
            client.delete_leftover(Leftover(kind, thing, LABEL))


def test_it_is_built_for_paperspaces_own_address_and_login(tmp_path: Path) -> None:
    made = build(ProviderSettings(home=tmp_path, key=SecretStr(KEY)))

    assert isinstance(made, Paperspace)
    assert made._http._base_url == "https://api.paperspace.com/v1"
    assert made._login == ("paperspace", 22)
    with pytest.raises(MissingCredentials):
        build(ProviderSettings(home=tmp_path))


def test_it_says_that_nothing_ends_its_machines_and_that_hours_are_whole() -> None:
    facts = Paperspace.capabilities

    assert facts.guard is GuardWay.NONE
    assert facts.own_stop_s >= 3600 * (1 + _SPARE_HOURS)
    assert (facts.billing_increment_s, facts.has_charges) == (3600, False)
    assert not facts.spot
    assert not facts.rate_limit_is_proof
