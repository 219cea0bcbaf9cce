from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import BadCredentials, ProviderDown
from orchestrator.providers.base import Machine, MachineStatus, SshAddress
from orchestrator.providers.paperspace.mapping import (
    PUBLIC_IP,
    SCRIPT,
    SNAPSHOT,
    to_create_body,
    to_leftovers,
    to_machine,
    to_rows,
    to_team,
    to_trouble,
    why_barred,
)
from orchestrator.runs.label import parse_label
from tests.providers.paperspace.samples import (
    CREATED_S,
    ID,
    LABEL,
    event,
    items,
    machine,
    public_ip,
    request,
    script,
    session,
    snapshot,
)

LATER_S = CREATED_S + 3600


def read(*, now_s: float = LATER_S, **changes: Any) -> Machine:
    made = to_machine(machine(**changes), now_s, "paperspace")
    assert made is not None
    return made


def test_a_machine_is_read() -> None:
    made = read()

    assert (made.id, made.label, made.status) == (ID, LABEL, MachineStatus.RUNNING)
    assert (made.gpu, made.gpu_count) == ("RTX A4000", 1)
    assert made.usd_per_hour == Decimal("0.770417")
    assert made.created_at_s == CREATED_S
    assert made.address == SshAddress("198.51.100.2", 22, "paperspace")
    assert (made.region, made.disk_gib) == ("ny2", 100)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("provisioning", MachineStatus.BOOTING),
        ("starting", MachineStatus.BOOTING),
        ("restarting", MachineStatus.BOOTING),
        ("upgrading", MachineStatus.BOOTING),
        ("serviceready", MachineStatus.BOOTING),
        ("ready", MachineStatus.RUNNING),
        ("stopping", MachineStatus.STOPPED),
        ("off", MachineStatus.STOPPED),
        ("a state of next year", MachineStatus.BOOTING),
        (None, MachineStatus.BOOTING),
    ],
)
def test_an_unknown_state_may_bill_and_is_not_ready(state: Any, status: MachineStatus) -> None:
    assert read(state=state).status is status


@pytest.mark.parametrize(
    ("age_s", "status"), [(59, MachineStatus.BOOTING), (60, MachineStatus.STOPPED)]
)
def test_a_new_machine_that_is_off_for_a_minute_had_no_capacity(
    age_s: float, status: MachineStatus
) -> None:
    """A create without capacity answers 200, and the machine ends up `off`."""
    assert read(now_s=CREATED_S + age_s, state="off").status is status


def test_a_machine_with_a_date_of_deletion_is_gone() -> None:
    assert to_machine(machine(dtDeleted="2026-11-28T13:00:00.000Z"), LATER_S, "paperspace") is None


@pytest.mark.parametrize("region", ["ny2", "NY2", "East Coast (NY2)"])
def test_a_region_may_be_told_as_code_or_as_label(region: str) -> None:
    assert read(region=region).region == "ny2"


@pytest.mark.parametrize("row", [None, [], {}, {"id": 7}, {"id": "../x"}])
def test_what_is_no_machine_is_an_error(row: Any) -> None:
    with pytest.raises(ProviderDown):
        to_machine(row, LATER_S, "paperspace")


def test_an_address_that_is_none_is_not_used() -> None:
    assert read(publicIp=None).address is None
    assert read(publicIp="-oProxyCommand=x").address is None


@pytest.mark.parametrize(
    ("accelerators", "gpus"),
    [
        ([{"name": "A4000", "memory": None, "count": 1}], 1),
        ([{"name": "A4000", "memory": None, "count": Decimal("1.0")}], 1),
        ([{"name": "A4000", "memory": None, "count": 0}], 0),
        ([], 1),
        (None, 1),
    ],
)
def test_gpus_are_as_told_else_as_the_type_has_them(accelerators: Any, gpus: int) -> None:
    """`accelerators` may be absent or null, and its count a number with a point."""
    assert read(accelerators=accelerators).gpu_count == gpus


@pytest.mark.parametrize(
    ("usage", "storage", "usd"),
    [
        (0.76, 7, "0.770417"),
        (0.5, 7, "0.510417"),  # a lower price is believed
        (0.0127, 7, "0.770417"),  # a rate by the minute is not
        (None, None, "0.770417"),
        (76, 7, "76.010417"),  # cents: no offer costs so much
        (0.76, 0.0104, "0.770417"),  # of a disk, by the hour
    ],
)
def test_a_rate_in_another_unit_is_never_taken_for_a_bargain(
    usage: Any, storage: Any, usd: str
) -> None:
    assert read(usageRate=usage, storageRate=storage).usd_per_hour == Decimal(usd)


def test_a_type_that_is_not_in_the_table_is_told_as_it_is() -> None:
    made = read(machineType="C5", accelerators=None, usageRate=0.08, storageRate=5)

    assert (made.gpu, made.gpu_count) == ("C5", 0)
    assert made.usd_per_hour == Decimal("0.087441")


def test_a_create_sends_no_more_than_it_must_and_switches_off_what_outlives_it() -> None:
    body = to_create_body(request(), "ss1")

    assert (body["name"], body["startupScriptId"]) == (LABEL, "ss1")
    assert (body["region"], body["diskSize"]) == ("East Coast (NY2)", 100)
    assert body["startOnCreate"] is True
    assert body["publicIpType"] == "dynamic"
    for field in (
        "emailPassword",
        "takeInitialSnapshot",
        "autoSnapshotEnabled",
        "restorePointEnabled",
    ):
        assert body[field] is False
    assert "accessorIds" not in body
    assert "enableNvlink" not in body


def test_the_providers_own_stop_comes_behind_the_deadline_whatever_it_counts() -> None:
    """Idle hours do not see SSH: a stop at the deadline might come in mid-training."""
    body = to_create_body(request(), "ss1")
    facts = parse_label(LABEL)
    assert facts is not None
    lives_h = (facts.deadline_s - facts.created_s) / 3600

    assert (body["autoShutdownEnabled"], body["autoShutdownForce"]) == (True, True)
    assert isinstance(body["autoShutdownTimeout"], int)
    assert lives_h + 1 <= body["autoShutdownTimeout"] < lives_h + 2
    assert "autoShutdownEnabled" not in to_create_body(request("somebody-elses"), "ss1")


def test_eight_gpus_are_wired_together() -> None:
    eight = request()
    eight = replace(eight, offer=replace(eight.offer, gpu_count=8))

    assert to_create_body(eight, "ss1")["enableNvlink"] is True


def test_a_bad_key_has_a_session_of_null_with_status_200() -> None:
    with pytest.raises(BadCredentials, match="no session"):
        to_team(None)
    assert to_team(session()) == "te1a2b3c"
    assert to_team({"team": {}}) == ""


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        ({"isInGoodStanding": True, "hasPaymentMethod": True, "isAdminLocked": False}, ""),
        ({}, ""),
        ({"isAdminLocked": True}, "locked"),
        ({"hasPaymentMethod": False}, "no way to pay"),
        ({"isInGoodStanding": False}, "not in good standing"),
    ],
)
def test_an_account_that_may_not_rent_says_why(standing: dict[str, bool], why: str) -> None:
    assert why in why_barred(standing)
    assert bool(why) == bool(why_barred(standing))


def test_a_list_ends_where_it_says_so_with_null_or_without_a_word() -> None:
    assert to_rows(items({}, after="p2"), "machines") == ([{}], "p2")
    assert to_rows(items({}), "machines") == ([{}], "")
    assert to_rows({"items": [], "hasMore": False, "nextPage": None}, "machines") == ([], "")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"items": None, "hasMore": False},
        {"items": [7], "hasMore": False},
        {"items": [], "hasMore": True},
        {"items": [], "hasMore": True, "nextPage": None},
        {"items": []},
    ],
)
def test_half_a_list_is_no_list(data: Any) -> None:
    with pytest.raises(ProviderDown):
        to_rows(data, "machines")


def test_an_event_that_failed_tells_what_keeps_a_machine_from_coming_up() -> None:
    failed = event(name="start", state="error", error="no capacity")

    assert to_trouble([event(state="done"), failed]) == "start: no capacity"
    assert to_trouble([event(state="error")]) == "create: it failed"
    assert to_trouble([event(), event(state="in progress"), event(state="done")]) == ""


def test_addresses_and_snapshots_are_known_by_the_script_and_go_before_it() -> None:
    found = to_leftovers([script()], [public_ip()], [snapshot()], frozenset())

    assert [(one.kind, one.id, one.label) for one in found] == [
        (PUBLIC_IP, "198.51.100.7", LABEL),
        (SNAPSHOT, "sn1", LABEL),
        (SCRIPT, "ss1", LABEL),
    ]


def test_a_living_machine_keeps_its_address() -> None:
    found = to_leftovers([script()], [public_ip()], [snapshot()], frozenset([ID]))

    assert [one.kind for one in found] == [SCRIPT]


def test_what_is_not_ours_is_left_alone() -> None:
    scripts = [script(name="mine"), script(id="../x"), script(dtDeleted="2026"), script(name=None)]

    assert to_leftovers(scripts, [public_ip(assignedMachineId="other")], [], frozenset()) == []
    loose = public_ip(assignedMachineId=None)
    assert [one.kind for one in to_leftovers([script()], [loose], [], frozenset())] == [SCRIPT]
