"""The client against the simulated Lambda, with what its documents leave open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, QuotaExceeded
from orchestrator.providers.base import Leftovers, MachineStatus, SshAddress
from tests.contract.bench import PUBLIC_KEY, A, B, C, best, listed, rent, request
from tests.contract.lambda_cloud_bench import LambdaBench

OTHER_KEY = PUBLIC_KEY.replace("AAAAIOMqq", "AAAAIPNrr")


@pytest.fixture
def account(tmp_path: Path) -> Iterator[LambdaBench]:
    with LambdaBench(tmp_path) as bench:
        yield bench


def test_capacity_that_is_not_told_is_no_offer_and_a_launch_gets_it_all_the_same(
    account: LambdaBench,
) -> None:
    offer = best(account)
    account.switch(hides_capacity=True)

    assert account.provider.list_offers(account.need) == []
    assert account.provider.create_machine(request(offer)).label == A
    assert account.rented() == listed(account.provider) == [A]


def test_a_new_account_may_have_few_machines(account: LambdaBench) -> None:
    account.switch(most_instances=1)
    rent(account, A)

    with pytest.raises(QuotaExceeded) as caught:
        rent(account, B)
    assert "few instances" in caught.value.hint
    assert account.rented() == [A]


@pytest.mark.parametrize("has_private_ip", [True, False])
def test_a_machine_is_reached_at_its_public_address_alone(
    account: LambdaBench, has_private_ip: bool
) -> None:
    account.switch(has_private_ip=has_private_ip)
    machine = rent(account)
    account.wait(account.provider.capabilities.boot_deadline_s)

    shown = account.provider.get_machine(machine.id)

    assert shown.status is MachineStatus.RUNNING
    assert isinstance(shown.address, SshAddress)
    assert shown.address.host.startswith("127.")


@pytest.mark.parametrize("status", [404, 400])
def test_a_launch_of_what_is_not_there_rents_nothing(account: LambdaBench, status: int) -> None:
    account.switch(missing_status=status)
    offer = best(account)
    gone = replace(offer, details={**offer.details, "type": "gpu_9x_none"})

    with pytest.raises(InvalidRequest):
        account.provider.create_machine(request(gone))
    assert account.rented() == []


def test_a_key_on_a_later_page_is_used_as_it_is_and_not_added_again(account: LambdaBench) -> None:
    for label, key in ((A, PUBLIC_KEY), (B, OTHER_KEY)):
        account.provider.create_machine(replace(request(best(account), label), public_key=key))
    account.break_next("small_pages")

    for label, key in ((C, OTHER_KEY), ("somebody-elses", PUBLIC_KEY)):
        account.provider.create_machine(replace(request(best(account), label), public_key=key))

    assert isinstance(account.provider, Leftovers)
    assert [left.label for left in account.provider.list_leftovers()] == [A, B]
