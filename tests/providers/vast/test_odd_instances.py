"""The client against single oddities of the simulated market."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.errors import MachineNotFound
from orchestrator.providers.base import Charges, Machine, MachineStatus, SshAddress
from tests.contract.bench import A, listed, rent
from tests.contract.vast_bench import VastBench


@pytest.fixture
def market(tmp_path: Path) -> Iterator[VastBench]:
    with VastBench(tmp_path) as bench:
        yield bench


def shown(market: VastBench) -> Machine:
    """The one machine, as the list has it."""
    (machine,) = market.provider.list_machines()
    return machine


def test_one_empty_answer_about_an_instance_is_contradicted_by_the_list(
    market: VastBench,
) -> None:
    """So a machine is gone only after both have said so, and twice."""
    machine = rent(market)
    market.break_next("get_null")

    with pytest.raises(MachineNotFound):
        market.provider.get_machine(machine.id)
    assert listed(market.provider) == [A]
    assert market.provider.get_machine(machine.id).label == A
    assert market.provider.capabilities.one_miss_is_noise


def test_what_is_destroyed_may_be_shown_for_as_long_as_the_list_may_lag(
    market: VastBench,
) -> None:
    machine = rent(market)
    market.break_next("delete_lags")

    market.provider.delete_machine(machine.id)

    assert market.provider.get_machine(machine.id).label == A
    assert listed(market.provider) == [A]
    market.wait(market.provider.capabilities.list_lag_s + 1)
    with pytest.raises(MachineNotFound):
        market.provider.get_machine(machine.id)
    assert listed(market.provider) == market.rented() == []


def test_a_container_that_never_starts_only_seems_to_boot(market: VastBench) -> None:
    """What ends it is the deadline of its boot."""
    market.break_next("created_stuck")
    rent(market)
    market.wait(market.provider.capabilities.boot_deadline_s + 60)

    assert (shown(market).status, shown(market).address) == (MachineStatus.BOOTING, None)


def test_a_contract_that_is_stopped_while_it_loads_is_no_failure(
    market: VastBench,
) -> None:
    market.break_next("loading_stopped")
    market.break_next("starting_stuck")
    rent(market)

    for _ in range(4):
        assert shown(market).status is MachineStatus.BOOTING
        market.wait(120)


def test_a_host_out_of_touch_may_come_back_within_the_grace(
    market: VastBench,
) -> None:
    market.break_next("goes_unknown")
    rent(market)
    market.wait(10)
    assert shown(market).status is MachineStatus.OUT_OF_TOUCH

    market.wait(121)

    assert shown(market).status is MachineStatus.RUNNING
    assert market.provider.capabilities.out_of_touch_s > 120


def test_the_proxy_is_not_tried_before_direct_ports_can_have_come(
    market: VastBench,
) -> None:
    market.break_next("ports_late", seconds=45)
    rent(market)
    market.wait(20)
    assert (shown(market).status, shown(market).address) == (MachineStatus.RUNNING, None)

    market.wait(45)

    direct = shown(market).address
    assert isinstance(direct, SshAddress)
    assert shown(market).other_addresses and direct not in shown(market).other_addresses


def test_a_port_without_a_number_is_none_and_the_proxy_is_the_way(
    market: VastBench,
) -> None:
    market.break_next("ports_host_ip_only")
    rent(market)
    market.wait(20)
    assert shown(market).address is None

    market.wait(60)

    assert isinstance(shown(market).address, SshAddress)
    assert shown(market).other_addresses == ()


def test_a_stopped_instance_goes_back_and_is_never_started_again(
    market: VastBench,
) -> None:
    """So nobody waits in the queue of a host whose GPUs are taken, with a disk that bills."""
    market.break_next("start_unavailable")
    machine = rent(market)
    market.wait(60)
    market.reclaim(machine.id)
    assert shown(market).status is MachineStatus.STOPPED

    market.provider.delete_machine(machine.id)
    market.wait(market.provider.capabilities.list_lag_s + 1)

    assert listed(market.provider) == market.rented() == []
    assert market.unmet() == ["start_unavailable"]


def test_a_line_of_a_bill_is_read_as_it_stands_and_leaves_the_rest_for_later(
    market: VastBench,
) -> None:
    """It is never more than what the machine costs by our own count."""
    market.break_next("charges_partial")
    provider = market.provider
    assert isinstance(provider, Charges)
    machine = rent(market)
    for seconds in (60, 3600):
        market.wait(seconds)
    market.provider.delete_machine(machine.id)
    market.wait(provider.capabilities.billing_lag_s)

    (line,) = provider.charges(machine.created_at_s - 60, machine.created_at_s + 7200)

    assert line.machine_id == machine.id and line.usd is not None
    assert Decimal(0) < line.usd < market.billed_usd(machine.id)
