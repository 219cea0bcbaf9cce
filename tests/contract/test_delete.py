from __future__ import annotations

import pytest

from orchestrator.errors import MachineNotFound, ProviderDown, ProviderError
from tests.contract.bench import A, B, Bench, end, listed, needs, rent


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


def test_a_delete_that_lies_leaves_the_machine_to_be_seen(cloud: Bench) -> None:
    needs(cloud, "delete_lies")
    machine = rent(cloud)
    cloud.break_next("delete_lies")

    end(cloud, machine.id)

    assert cloud.provider.get_machine(machine.id).label == A
    assert listed(cloud.provider) == cloud.rented() == [A]


@pytest.mark.parametrize("fault", ["delete_5xx_done", "5xx", "html_502", "reply_lost"])
def test_a_delete_that_was_not_answered_is_an_error_and_can_be_repeated(
    cloud: Bench, fault: str
) -> None:
    needs(cloud, fault)
    machine = rent(cloud)
    cloud.break_next(fault, operation="delete")

    with pytest.raises(ProviderDown):
        cloud.provider.delete_machine(machine.id)
    cloud.provider.delete_machine(machine.id)

    assert cloud.rented() == []


@pytest.mark.parametrize("fault", ["wrong_key", "forbidden", "conflict", "gone"])
def test_a_delete_that_was_refused_is_an_error(cloud: Bench, fault: str) -> None:
    needs(cloud, fault)
    machine = rent(cloud)
    cloud.break_next(fault, operation="delete")

    with pytest.raises(ProviderError) as caught:
        cloud.provider.delete_machine(machine.id)
    assert not isinstance(caught.value, MachineNotFound)
    assert cloud.rented() == [A]
