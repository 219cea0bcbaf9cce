from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InsufficientFunds,
    InvalidRequest,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
    Recovery,
)
from orchestrator.offers.rank import select
from orchestrator.providers.base import MachineStatus, SshAddress
from orchestrator.providers.http import Answer
from orchestrator.providers.runpod.mapping import (
    disk_usd_per_hour,
    to_account,
    to_charge,
    to_create_body,
    to_create_error,
    to_log_text,
    to_machine,
    to_offers,
    to_page,
)
from orchestrator.spec.resources import Need
from tests.providers.runpod.samples import LABEL, PUBLIC_KEY, gpu, pod, request

CREATED_S = 1795428000.0
NO_CAPACITY = [
    "There are no longer any instances available with the requested specifications. Please "
    "refresh and try again.",
    "There are no longer any instances available with enough disk space.",
    "No instances currently available",
    "This machine does not have the resources to deploy your pod. Please try a different machine",
    "There are not enough free GPUs on the host machine to start this pod.",
    "Insufficient resources",
]


def refused(status: int, detail: str) -> Answer:
    body = json.dumps({"title": "Refused", "status": status, "detail": detail}).encode()
    return Answer(status, {"retry-after": "9"}, body)


def test_an_offer_carries_every_part_of_its_price() -> None:
    (offer,) = to_offers({"gpus": [gpu()]}, "SECURE", Need(gpu_count=2, disk_gib=93))

    assert offer.id == "NVIDIA GeForce RTX 4090 x2 SECURE"
    assert (offer.gpu, offer.gpu_count, offer.gpu_memory_gib) == ("RTX 4090", 2, 24)
    assert offer.price.usd_per_hour == Decimal("0.69") * 2 + disk_usd_per_hour(93)
    assert Decimal("0.0136") < disk_usd_per_hour(93) < Decimal("0.0150")  # 100 GB, 730 h to 672 h
    assert (offer.trust, offer.stock, offer.cuda) == ("secure", "high", "12.10")


def test_a_community_offer_has_its_own_price_and_trust() -> None:
    (offer,) = to_offers({"gpus": [gpu()]}, "COMMUNITY", Need(disk_gib=1))

    assert offer.trust == "verified"
    assert offer.price.usd_per_hour < Decimal("0.35")


@pytest.mark.parametrize(
    "row",
    [
        gpu(id="unknown"),
        gpu(id=""),
        gpu(secure=False),
        gpu(price={"secure": 0, "community": 0.3}),
        gpu(price={"secure": None, "community": 0.3}),
        gpu(price={}),
        gpu(maxCount={"secure": 0, "community": 4}),
    ],
)
def test_what_this_cloud_does_not_sell_is_no_offer(row: dict[str, Any]) -> None:
    assert to_offers({"gpus": [row]}, "SECURE", Need()) == []


def test_no_stock_is_an_offer_all_the_same() -> None:
    row = gpu(availability="NONE", dataCenters=[])
    (offer,) = to_offers({"gpus": [row]}, "SECURE", Need())

    assert offer.stock == "none"


@pytest.mark.parametrize(
    ("top", "allow", "stock"),
    [
        ("NONE", (), "high"),
        ("NONE", ("US",), "low"),
        ("MEDIUM", ("US",), "medium"),
        (None, ("US",), "low"),
        ("NONE", ("AP",), "none"),
    ],
)
def test_stock_is_the_most_that_the_catalog_says_of_the_places_that_may_be(
    top: str | None, allow: tuple[str, ...], stock: str
) -> None:
    row = gpu(availability=top)
    (offer,) = to_offers({"gpus": [row]}, "SECURE", Need(regions_allow=allow))

    assert offer.stock == stock


def test_too_few_gpus_in_one_machine_are_told_as_what_there_is() -> None:
    need = Need(gpu_count=8)
    offers = to_offers({"gpus": [gpu()]}, "COMMUNITY", need)

    assert select(need, offers, lambda _: Decimal(1)).refused[0][1] == "4 GPUs, 8 needed"


def test_regions_narrow_the_data_centers_and_are_told() -> None:
    (offer,) = to_offers({"gpus": [gpu()]}, "SECURE", Need(regions_allow=("EU",)))

    assert (offer.region, offer.details["data_centers"]) == ("EU-RO-1", "EU-RO-1")


@pytest.mark.parametrize("cloud", ["SECURE", "COMMUNITY"])
def test_an_offer_outside_the_regions_is_refused_by_the_ranking(cloud: str) -> None:
    need = Need(regions_allow=("AP",))
    row = gpu() if cloud == "SECURE" else gpu(dataCenters=[])
    offers = to_offers({"gpus": [row]}, cloud, need)

    assert "data_centers" not in offers[0].details
    assert select(need, offers, lambda _: Decimal(1)).candidates == []


def test_an_amd_card_gets_no_cuda_floor() -> None:
    row = gpu(id="AMD Instinct MI300X OAM", manufacturer="AMD")
    row.pop("cudaVersions")
    (offer,) = to_offers({"gpus": [row]}, "SECURE", Need(cuda="12.8"))

    assert "least_cuda" not in offer.details
    assert (offer.gpu, offer.cuda) == ("MI300X", "")


def test_an_unknown_card_keeps_the_providers_word_and_memory() -> None:
    (offer,) = to_offers({"gpus": [gpu(id="NVIDIA Zx 1", memory=77)]}, "SECURE", Need())

    assert (offer.gpu, offer.gpu_memory_gib) == ("NVIDIA Zx 1", 77)


def test_a_create_sends_every_field_that_has_a_default() -> None:
    body = to_create_body(request(data_centers="EU-RO-1,EU-SE-1"))

    assert json.loads(body.pop("args")) == {
        "entrypoint": ["/bin/sh", "-c"],
        "cmd": ['echo "it\'s" armed\nsleep infinity'],
    }
    assert body == {
        "name": LABEL,
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1, "minCudaVersion": "12.8"},
        "cloud": "SECURE",
        "dataCenterIds": ["EU-RO-1", "EU-SE-1"],
        "disk": 61,
        "ports": ["22/tcp"],
        "startSsh": True,
        "env": {"GPULEASE_LABEL": LABEL, "PUBLIC_KEY": PUBLIC_KEY},
    }


def test_without_a_region_the_scheduler_chooses() -> None:
    assert "dataCenterIds" not in to_create_body(request())
    assert "dataCenterIds" not in to_create_body(request(anywhere="EU-RO-1,EU-SE-1"))


@pytest.mark.parametrize(
    ("details", "avoid", "asked"),
    [
        ({"anywhere": "EU-RO-1,EU-SE-1,US-KS-2"}, ("EU-SE-1",), ["EU-RO-1", "US-KS-2"]),
        ({"anywhere": "EU-RO-1"}, ("US-KS-2",), None),
        ({"anywhere": "EU-RO-1"}, ("EU-RO-1",), None),  # it stands nowhere else
        ({"data_centers": "EU-RO-1,EU-SE-1"}, ("EU-SE-1",), ["EU-RO-1"]),
        ({"data_centers": "EU-RO-1"}, ("EU-RO-1",), ["EU-RO-1"]),
        ({}, ("EU-RO-1",), None),
    ],
)
def test_a_center_in_which_a_machine_did_not_come_up_is_avoided(
    details: dict[str, str], avoid: tuple[str, ...], asked: list[str] | None
) -> None:
    body = to_create_body(replace(request(**details), avoid=avoid))

    assert body.get("dataCenterIds") == asked


@pytest.mark.parametrize("detail", NO_CAPACITY)
def test_a_400_in_the_words_of_capacity_is_no_capacity(detail: str) -> None:
    assert type(to_create_error(refused(400, detail))) is NoCapacity


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, "minCudaVersion and allowedCudaVersions exclude each other", InvalidRequest),
        (400, "Your balance is too low to deploy", InsufficientFunds),
        (401, "missing bearer token", BadCredentials),
        (402, "", InsufficientFunds),
        (403, "access denied", OfferRefused),
        (403, "insufficient funds", InsufficientFunds),
        (404, "template not found", InvalidRequest),
        (409, "conflict", InvalidRequest),
        (410, "gone", ApiGone),
        (413, "too large", InvalidRequest),
        (422, "Request validation failed.", InvalidRequest),
        (429, "rate limit exceeded for the minute window", RateLimited),
        (302, "", OutcomeUnknown),
        (408, "", OutcomeUnknown),
        (500, NO_CAPACITY[0], OutcomeUnknown),
        (502, "", OutcomeUnknown),
        (524, "", OutcomeUnknown),
    ],
)
def test_each_refusal_of_a_create_means_what_the_facts_say(
    status: int, detail: str, kind: type[ProviderError]
) -> None:
    error = to_create_error(refused(status, detail))

    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after_s == 9


@given(st.integers(300, 599), st.text(max_size=40))
def test_only_an_explicit_4xx_to_a_create_proves_that_nothing_was_rented(
    status: int, detail: str
) -> None:
    error = to_create_error(refused(status, detail))

    if not 400 <= status < 500 or status == 408:
        assert error.recovery is Recovery.LOOK_FIRST
    else:
        assert error.recovery is not Recovery.LOOK_FIRST


def test_a_running_pod_is_a_machine_with_an_address() -> None:
    machine = to_machine(pod(), "root")

    assert machine is not None
    assert (machine.id, machine.label, machine.status) == ("7h9k2m4n6p", LABEL, "running")
    assert (machine.gpu, machine.gpu_count) == ("RTX 4090", 1)
    assert machine.usd_per_hour == Decimal("0.69")
    assert machine.created_at_s == CREATED_S
    assert machine.address == SshAddress("195.26.233.3", 34446, "root")
    assert machine.region == "EU-RO-1"


def test_the_login_name_is_the_settings_and_not_the_answers() -> None:
    machine = to_machine(pod(), "tester")

    assert machine is not None
    assert machine.address == SshAddress("195.26.233.3", 34446, "tester")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("PROVISIONING", MachineStatus.BOOTING),
        ("STARTING", MachineStatus.BOOTING),
        ("RUNNING", MachineStatus.RUNNING),
        ("EXITED", MachineStatus.STOPPED),
        ("ERROR", MachineStatus.FAILED),
        ("HIBERNATING", MachineStatus.BOOTING),
        (None, MachineStatus.BOOTING),
    ],
)
def test_every_status_but_terminated_may_bill(word: str | None, status: MachineStatus) -> None:
    machine = to_machine(pod(status=word), "root")

    assert machine is not None
    assert machine.status is status
    assert (machine.address is not None) == (status is MachineStatus.RUNNING)


def test_a_terminated_pod_is_no_machine() -> None:
    assert to_machine(pod(status="TERMINATED"), "root") is None


@pytest.mark.parametrize(
    "direct",
    [
        None,
        {},
        {"host": "-oProxyCommand=touch x", "port": 22},
        {"host": "a b", "port": 22},
        {"host": "h\n", "port": 22},
        {"host": "host", "port": 0},
        {"host": "host", "port": 70001},
        {"host": "host", "port": "22"},
        {"host": "host", "port": True},
        {"host": 7, "port": 22},
    ],
)
def test_an_address_that_cannot_be_dialled_is_none(direct: object) -> None:
    machine = to_machine(pod(ssh={"proxy": None, "direct": direct}), "root")

    assert machine is not None
    assert machine.address is None


@pytest.mark.parametrize("row", [None, [], "pod", {}, pod(id=""), pod(id=7), pod(id="../x")])
def test_what_is_no_pod_is_an_error_and_not_an_absence(row: object) -> None:
    with pytest.raises(ProviderDown):
        to_machine(row, "root")


def test_a_pod_that_lacks_everything_else_is_still_listed() -> None:
    machine = to_machine({"id": "abc"}, "root")

    assert machine is not None
    assert (machine.label, machine.gpu, machine.gpu_count) == (None, "", 0)
    assert (str(machine.usd_per_hour), machine.created_at_s) == ("0", 0)


@pytest.mark.parametrize("cost", [-1, "NaN", "Infinity", 10**7, True, [], "x"])
def test_an_absurd_price_is_not_believed(cost: object) -> None:
    machine = to_machine(pod(cost=cost), "root")

    assert machine is not None
    assert machine.usd_per_hour == 0


@pytest.mark.parametrize(
    ("pagination", "cursor"),
    [
        (None, ""),
        ({"hasNextPage": False, "nextCursor": None}, ""),
        ({"hasNextPage": False, "nextCursor": "left over"}, ""),
        ({"hasNextPage": True, "nextCursor": "a/b"}, "a/b"),
    ],
)
def test_a_page_says_where_the_next_one_is(pagination: object, cursor: str) -> None:
    assert to_page({"pods": [pod()], "pagination": pagination}, "pods") == ([pod()], cursor)


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        {"pods": None},
        {"pods": {}},
        {"pods": [1]},
        {"pods": [], "pagination": {"hasNextPage": True, "nextCursor": None}},
        {"pods": [], "pagination": {"hasNextPage": True, "nextCursor": ""}},
    ],
)
def test_half_a_list_is_an_error(data: object) -> None:
    with pytest.raises(ProviderDown):
        to_page(data, "pods")


def test_a_billing_record_is_a_charge() -> None:
    charge = to_charge(
        {
            "startTime": "2026-11-23T10:00:00Z",
            "endTime": "2026-11-23T11:00:00Z",
            "podId": "7h9k2m4n6p",
            "totalAmount": Decimal("0.4021"),
        }
    )

    assert (charge.machine_id, charge.usd) == ("7h9k2m4n6p", Decimal("0.4021"))
    assert (charge.start_s, charge.end_s) == (CREATED_S, CREATED_S + 3600)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"data": {"myself": {"id": "u1", "clientBalance": Decimal("9.5")}}},
            ("u1", Decimal("9.5")),
        ),
        ({"data": {"myself": {"id": "u1", "clientBalance": 0}}}, ("u1", Decimal(0))),
        ({"data": {"myself": {"id": "u,key:x"}}}, ("", None)),
        ({"data": {"myself": None}}, ("", None)),
        ({"errors": [{"message": "Unauthorized"}], "data": None}, ("", None)),
        ([], ("", None)),
    ],
)
def test_an_account_is_told_as_far_as_it_is_known(data: object, expected: object) -> None:
    assert to_account(data) == expected


def test_a_log_is_the_lines_of_its_events() -> None:
    events = (
        b"id: 2026-11-23T10:02:03Z/000000000001\n"
        b'data: {"ts":"t","source":"system","line":"pull"}\n\n'
        b": keep-alive\n\n"
        b'data: {"line":"ssh-ed25519 AAAA host"}\r\n\r\n'
        b"data: not json\n\n"
        b'data: {"line":7}\n\n'
        b'data: {"line":"cut of'
    )

    assert to_log_text(events) == "pull\nssh-ed25519 AAAA host"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(pod())), JSON)
def test_no_field_of_a_pod_can_break_the_client(name: str, value: object) -> None:
    try:
        machine = to_machine(pod(**{name: value}), "root")
    except ProviderDown:
        assert name == "id"
    else:
        assert machine is None or machine.id


@given(st.sampled_from(sorted(gpu())), JSON)
def test_no_field_of_a_card_can_break_the_client(name: str, value: object) -> None:
    for offer in to_offers({"gpus": [gpu(**{name: value})]}, "SECURE", Need()):
        assert offer.price.usd_per_hour > 0
