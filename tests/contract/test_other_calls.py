"""What goes wrong with the calls beside the five: before they are done, after it, or half told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.errors import NotSent, ProviderDown
from orchestrator.providers.base import (
    Account,
    BootLog,
    BootTrouble,
    Charges,
    Leftovers,
    Machine,
    Provider,
    same_account,
)
from tests.contract.bench import PUBLIC_KEY, A, B, Bench, C, best, end, rent, request
from tests.contract.benches import of_each_cloud

Ask = Callable[[Provider, Machine], object]

FAULTS = ("5xx", "5xx_after", "reply_lost", "unreadable")
KEYS = {A: PUBLIC_KEY, B: PUBLIC_KEY.replace("AAAAIOMqq", "AAAAIPNrr")}
_REST_S = 61.0  # what failed may be left alone for so long


def account(provider: Provider) -> Account:
    assert isinstance(provider, Account)
    return provider


def log(provider: Provider, machine: Machine) -> str:
    assert isinstance(provider, BootLog)
    return provider.boot_log(machine.id)


def trouble(provider: Provider, machine: Machine) -> str:
    assert isinstance(provider, BootTrouble)
    return provider.boot_trouble(machine.id)


def bill(provider: Provider, machine: Machine) -> object:
    assert isinstance(provider, Charges)
    return provider.charges(machine.created_at_s - 3600, machine.created_at_s + 3600)


def leftovers(provider: Provider) -> Leftovers:
    assert isinstance(provider, Leftovers)
    return provider


PROTOCOLS: dict[str, type] = {
    "identity": Account,
    "balance_usd": Account,
    "charges": Charges,
    "boot_log": BootLog,
    "boot_trouble": BootTrouble,
    "list_leftovers": Leftovers,
    "delete_leftover": Leftovers,
}
READS: dict[str, Ask] = {
    "charges": bill,
    "boot_log": log,
    "boot_trouble": trouble,
    "list_leftovers": lambda provider, _: leftovers(provider).list_leftovers(),
}


def test_every_call_that_a_provider_has_is_among_those_that_fail_here(cloud: Bench) -> None:
    has = {name for name, kind in PROTOCOLS.items() if isinstance(cloud.provider, kind)}

    assert set(cloud.asks) == has


@pytest.mark.parametrize("fault", FAULTS)
@of_each_cloud(*READS)
def test_what_could_not_be_read_is_an_error_and_not_nothing(
    cloud: Bench, call: str, fault: str
) -> None:
    asked, ask = cloud.asks[call], READS[call]
    machine = rent(cloud)
    cloud.wait(60)
    whole = ask(cloud.provider, machine)
    cloud.break_next(fault, operation=asked)

    try:
        told = ask(cloud.provider, machine)
    except ProviderDown:
        told = None
    # Of a log that is a stream what came is shown.
    assert told is None or (isinstance(told, str) and str(whole).startswith(told))
    assert ask(cloud.provider, machine) == whole


@of_each_cloud("charges", "list_leftovers")
def test_what_comes_page_by_page_is_read_to_its_end(cloud: Bench, call: str) -> None:
    """Bills, keys, startup scripts."""
    asked, ask = cloud.asks[call], READS[call]
    for label, public_key in KEYS.items():
        made = replace(request(best(cloud), label), public_key=public_key)
        machine = cloud.provider.create_machine(made)
        cloud.wait(cloud.provider.capabilities.boot_deadline_s)
        end(cloud, machine.id)
    cloud.wait(cloud.provider.capabilities.billing_lag_s)
    whole = ask(cloud.provider, machine)
    assert isinstance(whole, list)
    assert len(whole) >= len(KEYS)

    cloud.break_next("small_pages")
    assert ask(cloud.provider, machine) == whole
    cloud.break_next("5xx", operation=asked, after=1)
    with pytest.raises(ProviderDown):
        ask(cloud.provider, machine)


@pytest.mark.parametrize("fault", FAULTS)
@of_each_cloud("identity")
def test_an_account_whose_name_is_not_told_is_no_other_account(
    cloud: Bench, call: str, fault: str
) -> None:
    known = account(cloud.provider).identity()
    nameless = account(cloud.with_key("same"))
    cloud.break_next(fault, operation=cloud.asks[call])

    assert "user:" not in nameless.identity()
    assert same_account(known, nameless.identity()) is True
    cloud.wait(_REST_S)
    assert nameless.identity() == known


@pytest.mark.parametrize("fault", FAULTS)
@of_each_cloud("balance_usd")
def test_a_balance_that_is_not_told_is_unknown(cloud: Bench, call: str, fault: str) -> None:
    same = account(cloud.with_key("same"))
    cloud.break_next(fault, operation=cloud.asks[call])

    assert same.balance_usd() is None
    cloud.wait(_REST_S)
    assert same.balance_usd() is not None
    assert same.identity() == account(cloud.provider).identity()


@pytest.mark.parametrize("fault", FAULTS)
@of_each_cloud("delete_leftover")
def test_a_leftover_whose_end_was_not_told_can_be_removed_again(
    cloud: Bench, call: str, fault: str
) -> None:
    asked = cloud.asks[call]
    provider = leftovers(cloud.provider)
    end(cloud, rent(cloud).id)
    (left,) = provider.list_leftovers()
    cloud.break_next(fault, operation=asked)

    if fault != "unreadable":  # a success is known by its status
        with pytest.raises(ProviderDown):
            provider.delete_leftover(left)
    provider.delete_leftover(left)

    assert provider.list_leftovers() == []


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_or_script_that_could_not_be_left_rents_nothing_that_nobody_knows(
    cloud: Bench, fault: str, after: int
) -> None:
    """Who needs it says that nothing was sent; who does not rents all the same."""
    asked = cloud.asks.get("delete_leftover", "keys")  # what is left is made by the same call
    cloud.break_next(fault, operation=asked, after=after)

    rented: list[str] = []
    for label in (A, B, C):
        try:
            cloud.provider.create_machine(request(best(cloud), label))
            rented.append(label)
        except NotSent as error:
            assert error.retry_after_s > 0
            cloud.wait(error.retry_after_s)
        assert cloud.rented() == rented
    assert len(rented) >= 2
