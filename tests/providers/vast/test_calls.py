from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    MissingCredentials,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    RentedAnyway,
)
from orchestrator.providers.base import MachineStatus, Provider, ProviderSettings, same_account
from orchestrator.providers.vast import build
from orchestrator.spec.resources import Need
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page
from tests.providers.vast.conftest import Start
from tests.providers.vast.samples import ASK, INSTANCE, KEY, PUBLIC_KEY, instance, request, row

ID = str(INSTANCE)
CREATE = f"/api/v0/asks/{ASK}/"
SINGLE = f"/api/v0/instances/{ID}/"
LIST = "/api/v1/instances/"
AUTH_ERROR = {"success": False, "error": "auth_error", "msg": "Invalid user key"}


def plain(data: Any) -> Any:
    """JSON of samples, whose numbers are Decimal."""
    return json.loads(json.dumps(data, default=float))


def routes(**replies: Reply) -> Callable[[Seen], Reply]:
    """An API by call; anything else is a 500."""
    named = {
        "search": ("POST", "/api/v0/bundles/"),
        "create": ("PUT", CREATE),
        "attach": ("POST", SINGLE + "ssh/"),
        "show": ("GET", SINGLE),
        "list": ("GET", LIST),
        "destroy": ("DELETE", SINGLE),
        "user": ("GET", "/api/v0/users/current/"),
        "names": ("GET", "/api/v0/gpu_names/unique/"),
        "charges": ("GET", "/api/v0/charges/"),
        "logs": ("PUT", f"/api/v0/instances/request_logs/{ID}/"),
    }
    by_call = {named[name]: reply for name, reply in replies.items()}
    return lambda seen: by_call.get((seen.method, seen.path), Reply(500))


def created() -> Reply:
    return as_json({"success": True, "new_contract": INSTANCE, "instance_api_key": "secret"})


def shown(**changes: Any) -> Reply:
    return as_json({"instances": plain(instance(**changes))})


def paths(api: LoopbackApi) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in api.seen]


def test_the_key_goes_into_one_header_and_never_into_an_address(start: Start) -> None:
    vast, api = start(routes(list=as_json({"success": True, "instances": []})))

    vast.list_machines()

    (seen,) = api.seen
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps([seen.path, seen.query])


def test_a_create_gives_the_key_again_and_reads_back_what_was_rented(start: Start) -> None:
    vast, api = start(
        routes(create=created(), attach=as_json({"success": True}), show=shown(dph_total=0.48))
    )

    machine = vast.create_machine(request())

    assert (machine.id, machine.label) == (ID, request().label)
    assert machine.usd_per_hour == Decimal("0.48")  # the price may move between search and rent
    assert paths(api) == [("PUT", CREATE), ("POST", SINGLE + "ssh/"), ("GET", SINGLE)]
    assert api.seen[1].data() == {"ssh_key": PUBLIC_KEY}
    assert api.seen[0].data() == {**plain(api.seen[0].data()), "price": None}


@pytest.mark.parametrize(
    "show", [as_json({"instances": None}), Reply(hang_up=True), as_json(AUTH_ERROR, 404), page(502)]
)
def test_a_rented_instance_is_known_whatever_comes_after_the_create(
    start: Start, show: Reply
) -> None:
    vast, _ = start(routes(create=created(), attach=Reply(hang_up=True), show=show))

    machine = vast.create_machine(request())

    assert (machine.id, machine.status) == (ID, MachineStatus.BOOTING)
    assert machine.usd_per_hour == request().offer.price.usd_per_hour
    assert (machine.gpu, machine.gpu_count) == ("RTX 4090", 1)


@pytest.mark.parametrize("reply", [Reply(hang_up=True), page(502), page(200), as_json({})])
def test_a_lost_reply_to_a_create_is_unknown_and_sent_once(start: Start, reply: Reply) -> None:
    vast, api = start(routes(create=reply))

    with pytest.raises(OutcomeUnknown):
        vast.create_machine(request())
    assert paths(api) == [("PUT", CREATE)]


def test_an_error_that_names_a_contract_is_rented_anyway(start: Start) -> None:
    reply = as_json({"success": False, "error": "invalid_price", "new_contract": 55}, 400)
    vast, _ = start(routes(create=reply))

    with pytest.raises(RentedAnyway) as caught:
        vast.create_machine(request())
    assert caught.value.machine_id == "55"


def test_no_such_ask_is_no_capacity(start: Start) -> None:
    msg = f"error 404/3603: no_such_ask  Instance type by id {ASK} is not available."
    vast, _ = start(routes(create=as_json({"error": "invalid_args", "msg": msg}, 400)))

    with pytest.raises(NoCapacity):
        vast.create_machine(request())


def test_the_containers_key_is_neither_kept_nor_shown(start: Start) -> None:
    vast, _ = start(routes(create=created(), attach=as_json({}), show=shown()))

    assert "secret" not in repr(vast.create_machine(request()))


def test_null_is_unknown_to_the_provider_itself(start: Start) -> None:
    vast, _ = start(routes(show=as_json({"instances": None})))

    with pytest.raises(MachineNotFound):
        vast.get_machine(ID)


def test_a_single_instance_may_come_as_a_list_of_one(start: Start) -> None:
    vast, _ = start(routes(show=as_json({"instances": [plain(instance())]})))

    assert vast.get_machine(ID).id == ID


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (as_json({}), ProviderDown),
        (as_json({"instances": []}), ProviderDown),
        (as_json({"instances": {}}), ProviderDown),
        (as_json({"instances": {"id": 7}}), ProviderDown),
        (page(404), ProviderDown),
        (as_json(AUTH_ERROR, 404), BadCredentials),
        (as_json({"success": False, "error": "no_such_instance"}, 404), MachineNotFound),
    ],
)
def test_only_the_providers_own_words_say_that_an_instance_is_unknown(
    start: Start, reply: Reply, kind: type[Exception]
) -> None:
    vast, _ = start(routes(show=reply))

    with pytest.raises(kind):
        vast.get_machine(ID)


def test_every_page_of_the_list_is_asked_for(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        token = seen.query.get("after_token")
        rows = [plain(instance(id=2 if token else 1))]
        after = None if token else "t1"
        return as_json({"instances": rows, "next_token": after, "total_instances": 2})

    vast, api = start(answer)

    assert [machine.id for machine in vast.list_machines()] == ["1", "2"]
    assert [seen.query.get("after_token") for seen in api.seen] == [None, "t1"]
    assert {seen.path for seen in api.seen} == {LIST}
    assert {seen.query["limit"] for seen in api.seen} == {"25"}


def test_a_second_page_that_fails_makes_the_whole_list_one_error(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        if "after_token" in seen.query:
            return page(502)
        return as_json({"instances": [plain(instance())], "next_token": "t1"})

    vast, _ = start(answer)

    with pytest.raises(ProviderDown):
        vast.list_machines()


def test_the_retired_list_is_never_asked(start: Start) -> None:
    vast, api = start(routes(list=as_json({"success": True, "instances": []})))

    vast.list_machines()

    assert not any(seen.path.startswith("/api/v0/instances") for seen in api.seen)


@pytest.mark.parametrize(
    "reply",
    [
        as_json({"success": True}),
        as_json({"success": False, "error": "no_such_instance"}, 404),
        as_json({"success": False, "error": "not_found"}, 404),
    ],
)
def test_a_destroy_is_accepted_also_where_nothing_is_left(start: Start, reply: Reply) -> None:
    vast, api = start(routes(destroy=reply))

    vast.delete_machine(ID)

    assert api.seen[0].data() == {}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (as_json({"success": False, "error": "server_error"}), ProviderDown),
        (as_json(AUTH_ERROR, 404), BadCredentials),
        (page(404), ProviderDown),
        (Reply(200), ProviderDown),
    ],
)
def test_a_destroy_without_a_word_of_success_is_not_accepted(
    start: Start, reply: Reply, kind: type[Exception]
) -> None:
    vast, _ = start(routes(destroy=reply))

    with pytest.raises(kind):
        vast.delete_machine(ID)


@pytest.mark.parametrize("machine_id", ["", "0", "../users", "7/ssh", "seven"])
def test_an_id_that_is_none_reaches_no_address(start: Start, machine_id: str) -> None:
    vast, api = start(routes())

    for call in (vast.get_machine, vast.delete_machine, vast.boot_log):
        with pytest.raises(InvalidRequest):
            call(machine_id)
    assert api.seen == []


def test_a_search_stops_at_the_first_hosts_that_are_trusted_enough(start: Start) -> None:
    vast, api = start(routes(search=as_json({"offers": [plain(row())]})))

    offers = vast.list_offers(Need())

    assert [offer.id for offer in offers] == ["RTX 4090 x1 machine 301"]
    assert len(api.seen) == 1


def test_where_no_host_is_trusted_enough_less_trusted_ones_are_shown(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        query = seen.data()
        assert isinstance(query, dict)
        found = [] if query["verified"]["eq"] else [plain(row(verification="unverified"))]
        return as_json({"offers": found})

    vast, api = start(answer)

    assert [offer.trust for offer in vast.list_offers(Need())] == ["any"]
    assert len(api.seen) == 2


def test_the_names_of_cards_are_vasts_own_and_asked_for_once(start: Start) -> None:
    vast, api = start(
        routes(
            names=as_json({"gpu_names": ["RTX 4090", "RTX 3090"]}),
            search=as_json({"offers": [plain(row())]}),
        )
    )

    vast.list_offers(Need(gpu_names=("RTX 4090",)))
    vast.list_offers(Need(gpu_names=("RTX 4090",)))

    searches = [seen.data() for seen in api.seen if seen.method == "POST"]
    assert [dict(one)["gpu_name"] for one in searches if isinstance(one, dict)] == [
        {"in": ["RTX 4090"]}
    ] * 2
    assert len(api.seen) == 3


def test_without_the_names_every_card_is_searched(start: Start) -> None:
    vast, api = start(routes(search=as_json({"offers": [plain(row())]})))

    assert vast.list_offers(Need(gpu_names=("RTX 4090",)))

    query = api.seen[-1].data()
    assert isinstance(query, dict)
    assert "gpu_name" not in query


@pytest.mark.parametrize(
    ("user", "usd"),
    [
        ({"credit": 25.5, "balance": 3}, "25.5"),
        ({"balance": 3}, "3"),
        ({"credit": 0}, "0"),
        ({"credit": -1.25}, "0"),
        ({}, None),
        ({"credit": "much"}, None),
    ],
)
def test_credit_comes_before_balance_and_neither_is_unknown(
    start: Start, user: dict[str, object], usd: str | None
) -> None:
    vast, _ = start(routes(user=as_json({"id": 4321, **user})))

    assert vast.balance_usd() == (None if usd is None else Decimal(usd))


def test_an_account_is_its_user_else_its_key(start: Start) -> None:
    named, api = start(routes(user=as_json({"id": 4321, "credit": 1})))
    nameless, refused = start(routes(user=as_json(AUTH_ERROR, 404)))

    assert named.identity().startswith("user:4321,key:")
    assert named.identity()
    assert len(api.seen) == 1
    assert nameless.identity().startswith("key:")
    assert nameless.balance_usd() is None
    assert len(refused.seen) == 1  # it is left alone for a while
    assert same_account(named.identity(), nameless.identity()) is True


def test_charges_are_read_page_by_page_for_the_days_asked(start: Start) -> None:
    def answer(seen: Seen) -> Reply:
        last = "after_token" in seen.query
        line = {"start": 10, "end": 20, "source": f"instance-{2 if last else 1}", "amount": 0.5}
        after = None if last else "t1"
        return as_json({"success": True, "results": [line], "total": 2, "next_token": after})

    vast, api = start(answer)

    charges = vast.charges(1000.5, 2000.5)

    assert [(one.machine_id, one.usd) for one in charges] == [
        ("1", Decimal("0.5")),
        ("2", Decimal("0.5")),
    ]
    filters = json.loads(api.seen[0].query["select_filters"])
    assert filters == {"day": {"gte": 1000, "lte": 2001}, "type": {"in": ["instance"]}}


def test_a_charge_that_cannot_be_read_does_not_hide_the_others(start: Start) -> None:
    lines = [None, {"source": "instance-1", "amount": None}, {"source": "instance-2", "amount": 1}]
    vast, _ = start(lambda _: as_json({"success": True, "results": lines, "total": 3}))

    charges = vast.charges(1000.5, 2000.5)

    assert [(one.machine_id, one.usd) for one in charges] == [("", None), ("1", None), ("2", 1)]


def test_a_boot_log_is_fetched_without_the_key_once_it_is_there(start: Start) -> None:
    answers = [Reply(403), Reply(404), Reply(200, b"pulling\nError response from daemon\n")]

    def answer(seen: Seen) -> Reply:
        if seen.path == "/files/log":
            return answers.pop(0)
        assert seen.path == f"/api/v0/instances/request_logs/{ID}/"
        return as_json({"success": True, "result_url": f"{api.url}/files/log"})

    vast, api = start(answer)

    assert "Error response" in vast.boot_log(ID)
    assert [seen.headers.get("authorization") for seen in api.seen[1:]] == [None] * 3


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://files.example/x", "", None, 7])
def test_a_log_at_an_address_that_is_not_to_be_trusted_is_not_fetched(
    start: Start, url: object
) -> None:
    vast, api = start(routes(logs=as_json({"success": True, "result_url": url})))

    with pytest.raises(ProviderDown):
        vast.boot_log(ID)
    assert len(api.seen) == 1


def test_a_missing_key_names_the_command_that_saves_it(tmp_path: Any) -> None:
    with pytest.raises(MissingCredentials) as caught:
        build(ProviderSettings(home=tmp_path))
    assert caught.value.hint == "gpulease login vast"


def test_a_key_of_the_settings_is_used_at_the_address_of_the_settings(
    serve: Callable[[Callable[[Seen], Reply]], LoopbackApi], tmp_path: Any
) -> None:
    from pydantic import SecretStr

    api = serve(lambda _: as_json({"success": True, "instances": []}))
    settings = ProviderSettings(home=tmp_path, key=SecretStr("k"), urls={"": api.url})

    provider: Provider = build(settings)

    assert provider.list_machines() == []
    assert api.seen[0].headers["authorization"] == "Bearer k"
