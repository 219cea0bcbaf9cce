from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.errors import BadCredentials, MachineNotFound, ProviderError
from orchestrator.providers.base import Account, Provider, same_account
from tests.contract.bench import NOBODY, Bench, best, rent, request, told
from tests.contract.benches import broken_by

CALLS: dict[str, Callable[[Provider, Bench], object]] = {
    "list_offers": lambda provider, bench: provider.list_offers(bench.need),
    "list_machines": lambda provider, _: provider.list_machines(),
    "get_machine": lambda provider, _: provider.get_machine(NOBODY),
    "delete_machine": lambda provider, _: provider.delete_machine(NOBODY),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_key_is_bad_credentials_everywhere(guarded: Bench, call: str) -> None:
    wrong = guarded.with_key("wrong")

    with pytest.raises(BadCredentials):
        CALLS[call](wrong, guarded)


def test_a_wrong_key_rents_nothing(guarded: Bench) -> None:
    wrong = guarded.with_key("wrong")

    with pytest.raises(BadCredentials):
        wrong.create_machine(request(best(guarded)))
    assert guarded.rented() == []


def test_another_accounts_machines_are_unseen_and_the_identity_says_whose(cloud: Bench) -> None:
    another = cloud.with_key("another")
    machine = rent(cloud)

    assert another.list_machines() == []
    with pytest.raises(MachineNotFound):
        another.get_machine(machine.id)
    assert isinstance(another, Account)
    assert isinstance(cloud.provider, Account)
    mine, others = cloud.provider.identity(), another.identity()
    # Where keys alone are known, two of them may or may not be of one account.
    assert same_account(mine, others) is (False if "user:" in mine else None)


def test_the_identity_stays_the_same_and_is_no_key(bench: Bench) -> None:
    provider = bench.provider
    assert isinstance(provider, Account)

    identity = provider.identity()
    again = bench.with_key("same")

    assert isinstance(again, Account)
    assert same_account(identity, again.identity()) is True
    assert not bench.secret or bench.secret not in identity


@broken_by("gone")
def test_the_account_is_known_by_its_key_where_its_name_cannot_be_had(
    bench: Bench, fault: str
) -> None:
    named = bench.provider
    nameless = bench.with_key("same")
    assert isinstance(named, Account)
    assert isinstance(nameless, Account)
    identity = named.identity()
    bench.break_next(fault, operation="graphql")

    assert nameless.balance_usd() is None
    assert same_account(identity, nameless.identity()) is True


def test_a_balance_is_dollars_or_unknown(bench: Bench) -> None:
    assert isinstance(bench.provider, Account)

    balance = bench.provider.balance_usd()

    assert balance is None or balance > 0


@pytest.mark.parametrize("fault", ["wrong_key", "html_502", "5xx", "unreadable", "forbidden"])
def test_no_error_shows_the_key(cloud: Bench, fault: str) -> None:
    cloud.break_next(fault, operation="list")

    with pytest.raises(ProviderError) as caught:
        cloud.provider.list_machines()
    assert cloud.secret not in told(caught.value)
