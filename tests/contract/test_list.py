from __future__ import annotations

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import MachineStatus
from tests.contract.bench import LABELS, A, B, Bench, C, listed, needs, rent


def test_every_machine_is_listed_also_one_that_is_not_ours(bench: Bench) -> None:
    for label in (A, B, "somebody-elses"):
        rent(bench, label)

    assert listed(bench.provider) == sorted([A, B, "somebody-elses"])


def test_every_page_is_read(cloud: Bench) -> None:
    needs(cloud, "small_pages")
    cloud.break_next("small_pages")
    for label in LABELS[:4]:
        rent(cloud, label)

    assert listed(cloud.provider) == sorted(LABELS[:4])


def test_a_member_of_a_cluster_is_listed_because_it_bills(cloud: Bench) -> None:
    needs(cloud, "cluster_member")
    cloud.break_next("cluster_member", label=A)
    rent(cloud, A)

    assert listed(cloud.provider) == [A]


def test_a_page_that_fails_makes_the_whole_list_an_error(cloud: Bench) -> None:
    needs(cloud, "small_pages", "list_page_fail")
    cloud.break_next("small_pages")
    for label in (A, B, C):
        rent(cloud, label)
    cloud.break_next("list_page_fail")

    with pytest.raises(ProviderDown):
        cloud.provider.list_machines()
    assert listed(cloud.provider) == sorted([A, B, C])


@pytest.mark.parametrize("fault", ["reply_lost", "unreadable", "html_502", "5xx"])
def test_a_list_that_was_not_read_whole_is_an_error(cloud: Bench, fault: str) -> None:
    needs(cloud, fault)
    rent(cloud)
    cloud.break_next(fault, operation="list")

    with pytest.raises(ProviderDown):
        cloud.provider.list_machines()


def test_a_list_that_lags_is_caught_up_within_the_lag_that_is_declared(cloud: Bench) -> None:
    needs(cloud, "list_lag_s")
    lag_s = cloud.provider.capabilities.list_lag_s
    cloud.break_next("list_lag_s", seconds=lag_s)
    machine = rent(cloud)

    assert listed(cloud.provider) == []
    assert cloud.provider.get_machine(machine.id).label == A
    cloud.wait(lag_s + 1)
    assert listed(cloud.provider) == [A]

    cloud.provider.delete_machine(machine.id)
    assert listed(cloud.provider) == [A]
    cloud.wait(lag_s + 1)
    assert listed(cloud.provider) == []


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        ("exited", {MachineStatus.STOPPED}),
        ("error_status", {MachineStatus.FAILED, MachineStatus.OUT_OF_TOUCH}),
    ],
)
def test_a_machine_that_stopped_or_failed_is_still_listed(
    cloud: Bench, fault: str, states: set[MachineStatus]
) -> None:
    needs(cloud, fault)
    cloud.break_next(fault)
    rent(cloud)
    cloud.wait(120)

    (machine,) = cloud.provider.list_machines()
    assert machine.status in states
