from __future__ import annotations

import pytest

from orchestrator.errors import MachineNotFound
from orchestrator.providers.base import (
    BillingStart,
    BootLog,
    BootTrouble,
    Charges,
    Leftovers,
    total_usd,
)
from tests.contract.bench import NOBODY, B, Bench, end, rent
from tests.contract.benches import broken_by


def test_what_a_provider_declares_is_what_it_offers(bench: Bench) -> None:
    capabilities = bench.provider.capabilities

    assert isinstance(bench.provider, BootLog) == capabilities.has_boot_log
    has_charges = capabilities.bills and capabilities.has_charges
    assert isinstance(bench.provider, Charges) == has_charges


def test_a_boot_log_shows_the_host_key_of_a_machine_that_booted(cloud: Bench) -> None:
    provider = cloud.provider
    if not isinstance(provider, BootLog):
        pytest.skip(f"{provider.name} shows no boot log")
    machine = rent(cloud)

    assert "ssh-ed25519 " not in provider.boot_log(machine.id)
    cloud.wait(provider.capabilities.boot_deadline_s)
    assert "ssh-ed25519 " in provider.boot_log(machine.id)


@broken_by("image_error")
def test_what_keeps_a_machine_from_coming_up_is_told_by_its_host(bench: Bench, fault: str) -> None:
    bench.break_next(fault)
    machine, well = rent(bench), rent(bench, B)
    provider = bench.provider
    assert isinstance(provider, BootTrouble)
    assert provider.boot_trouble(well.id) == ""

    for _ in range(2):
        bench.wait(30)

    assert "toomanyrequests" in provider.boot_trouble(machine.id)
    assert provider.boot_trouble(well.id) == ""


def test_a_log_of_nobody_is_not_found(cloud: Bench) -> None:
    provider = cloud.provider
    if not isinstance(provider, BootLog):
        pytest.skip(f"{provider.name} shows no boot log")

    with pytest.raises(MachineNotFound):
        provider.boot_log(NOBODY)


def test_the_bill_is_what_the_machine_cost(cloud: Bench) -> None:
    provider = cloud.provider
    if not isinstance(provider, Charges):
        pytest.skip(f"{provider.name} tells no bills")
    machine = rent(cloud)
    boot_s = provider.capabilities.boot_deadline_s
    cloud.wait(boot_s)
    cloud.wait(1800)
    end(cloud, machine.id)
    cloud.wait(provider.capabilities.billing_lag_s)

    since_s = machine.created_at_s
    charges = provider.charges(since_s - 3600, since_s + 7200)
    usd = total_usd(charge for charge in charges if charge.machine_id == machine.id)
    assert usd is not None

    half_an_hour_usd = float(machine.usd_per_hour) / 2
    whole_usd = half_an_hour_usd * (1800 + boot_s) / 1800
    if provider.capabilities.billing_starts is BillingStart.CREATED:
        assert float(usd) == pytest.approx(whole_usd, rel=0.01)
    else:
        assert half_an_hour_usd * 0.99 < float(usd) < whole_usd * 1.01


def test_what_outlives_a_machine_is_found_by_its_label_and_removed(cloud: Bench) -> None:
    provider = cloud.provider
    if not isinstance(provider, Leftovers):
        pytest.skip(f"{provider.name} keeps nothing beside machines")
    machine = rent(cloud)
    end(cloud, machine.id)

    (left,) = provider.list_leftovers()
    assert left.label == machine.label
    for _ in range(2):
        provider.delete_leftover(left)
    assert provider.list_leftovers() == []


def test_removing_what_is_left_takes_no_machine_with_it(cloud: Bench) -> None:
    provider = cloud.provider
    if not isinstance(provider, Leftovers):
        pytest.skip(f"{provider.name} keeps nothing beside machines")
    machine = rent(cloud)

    for left in provider.list_leftovers():
        provider.delete_leftover(left)

    assert provider.get_machine(machine.id).label == machine.label
    assert cloud.rented() == [machine.label]
