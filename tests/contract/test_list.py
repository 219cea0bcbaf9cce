from __future__ import annotations

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import MachineStatus
from tests.contract.bench import LABELS, A, B, Bench, C, listed, rent
from tests.contract.benches import broken_by


def test_every_machine_is_listed_also_one_that_is_not_ours(bench: Bench) -> None:
    for label in (A, B, "somebody-elses"):
        rent(bench, label)

    assert listed(bench.provider) == sorted([A, B, "somebody-elses"])


@broken_by("small_pages")
def test_every_page_is_read(bench: Bench, fault: str) -> None:
    bench.break_next(fault)
    for label in LABELS[:4]:
        rent(bench, label)

    assert listed(bench.provider) == sorted(LABELS[:4])


@broken_by("cluster_member")
def test_a_member_of_a_cluster_is_listed_because_it_bills(bench: Bench, fault: str) -> None:
    bench.break_next(fault, label=A)
    rent(bench, A)

    assert listed(bench.provider) == [A]


@broken_by("list_page_fail")
def test_a_page_that_fails_makes_the_whole_list_an_error(bench: Bench, fault: str) -> None:
    bench.break_next("small_pages")
    for label in (A, B, C):
        rent(bench, label)
    bench.break_next(fault)

    with pytest.raises(ProviderDown):
        bench.provider.list_machines()
    assert listed(bench.provider) == sorted([A, B, C])


@broken_by("unreached", "reply_lost", "unreadable", "html_502", "5xx")
def test_a_list_that_was_not_read_whole_is_an_error(bench: Bench, fault: str) -> None:
    rent(bench)
    bench.break_next(fault, operation="list")

    with pytest.raises(ProviderDown):
        bench.provider.list_machines()
    assert listed(bench.provider) == [A]


@broken_by("list_lag_s")
def test_a_list_that_lags_is_caught_up_within_the_lag_that_is_declared(
    bench: Bench, fault: str
) -> None:
    lag_s = bench.provider.capabilities.list_lag_s
    bench.break_next(fault, seconds=lag_s)
    machine = rent(bench)

    assert listed(bench.provider) == []
    assert bench.provider.get_machine(machine.id).label == A
    bench.wait(lag_s + 1)
    assert listed(bench.provider) == [A]

    bench.provider.delete_machine(machine.id)
    assert listed(bench.provider) == [A]
    bench.wait(lag_s + 1)
    assert listed(bench.provider) == []


@broken_by("exited")
def test_a_machine_that_stopped_is_still_listed(bench: Bench, fault: str) -> None:
    assert in_trouble(bench, fault) is MachineStatus.STOPPED


@broken_by("error_status")
def test_a_machine_that_failed_is_still_listed(bench: Bench, fault: str) -> None:
    assert in_trouble(bench, fault) in (MachineStatus.FAILED, MachineStatus.OUT_OF_TOUCH)


def in_trouble(bench: Bench, fault: str) -> MachineStatus:
    """What the list says of the one machine that the fault befell."""
    bench.break_next(fault)
    rent(bench)
    bench.wait(120)
    (machine,) = bench.provider.list_machines()
    return machine.status
