from __future__ import annotations

import pytest

from orchestrator.errors import MachineNotFound, ProviderDown, ProviderError
from tests.contract.bench import A, B, Bench, end, listed, rent
from tests.contract.benches import broken_by


def test_a_deleted_machine_is_gone_by_its_id_and_from_the_list(bench: Bench) -> None:
    machine, other = rent(bench, A), rent(bench, B)

    end(bench, machine.id)

    with pytest.raises(MachineNotFound):
        bench.provider.get_machine(machine.id)
    assert listed(bench.provider) == bench.rented() == [B]
    assert bench.provider.get_machine(other.id).label == B


def test_a_delete_may_be_repeated(bench: Bench) -> None:
    machine = rent(bench)

    for _ in range(3):
        bench.provider.delete_machine(machine.id)
    bench.wait(bench.provider.capabilities.list_lag_s + 1)
    bench.provider.delete_machine(machine.id)

    assert bench.rented() == []


@broken_by("delete_lies")
def test_a_delete_that_lies_leaves_the_machine_to_be_seen(bench: Bench, fault: str) -> None:
    machine = rent(bench)
    bench.break_next(fault)

    end(bench, machine.id)

    assert bench.provider.get_machine(machine.id).label == A
    assert listed(bench.provider) == bench.rented() == [A]


@broken_by("unreached", "delete_5xx_done", "5xx", "html_502", "reply_lost")
def test_a_delete_that_was_not_answered_is_an_error_and_can_be_repeated(
    bench: Bench, fault: str
) -> None:
    machine = rent(bench)
    bench.break_next(fault, operation="delete")

    with pytest.raises(ProviderDown):
        bench.provider.delete_machine(machine.id)
    bench.provider.delete_machine(machine.id)

    assert bench.rented() == []


@broken_by("wrong_key", "forbidden", "conflict", "gone")
def test_a_delete_that_was_refused_is_an_error(bench: Bench, fault: str) -> None:
    machine = rent(bench)
    bench.break_next(fault, operation="delete")

    with pytest.raises(ProviderError) as caught:
        bench.provider.delete_machine(machine.id)
    assert not isinstance(caught.value, MachineNotFound)
    assert bench.rented() == [A]
