"""The client against the simulated Paperspace, with what goes wrong there alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import BadCredentials, OfferRefused
from orchestrator.providers.base import Leftovers
from tests.contract.bench import A, B, end, listed, rent
from tests.contract.paperspace_bench import PaperspaceBench


@pytest.fixture
def team(tmp_path: Path) -> Iterator[PaperspaceBench]:
    with PaperspaceBench(tmp_path) as bench:
        yield bench


def left_of(team: PaperspaceBench) -> list[tuple[str, str]]:
    assert isinstance(team.provider, Leftovers)
    return sorted((one.label, one.kind) for one in team.provider.list_leftovers())


@pytest.mark.parametrize(
    ("standing", "why"),
    [("locked", "locked"), ("unpaid", "no way to pay"), ("bad", "not in good standing")],
)
def test_a_team_that_may_not_rent_is_told_why_before_anything_is_offered(
    team: PaperspaceBench, standing: str, why: str
) -> None:
    team.switch(standing=standing)

    with pytest.raises(BadCredentials, match=why):
        team.provider.list_offers(team.need)


def test_a_team_at_its_limit_of_machines_is_refused_and_told_of_limits(
    team: PaperspaceBench,
) -> None:
    team.switch(most_machines=1)
    rent(team, A)

    with pytest.raises(OfferRefused) as caught:
        rent(team, B)
    assert "a team has a limit" in caught.value.hint
    assert team.rented() == [A]


def test_an_address_goes_before_its_machine_is_deleted_whichever_page_it_is_on(
    team: PaperspaceBench,
) -> None:
    team.break_next("static_ip", times=2)
    machines = [rent(team, label) for label in (A, B)]
    team.break_next("small_pages")

    for machine in machines:
        end(team, machine.id)

    assert left_of(team) == [(A, "startup script"), (B, "startup script")]
    assert listed(team.provider) == []


def test_addresses_that_were_not_given_back_are_found_page_by_page(team: PaperspaceBench) -> None:
    team.break_next("static_ip", times=2)
    machines = [rent(team, label) for label in (A, B)]
    team.break_next("small_pages")

    for machine in machines:
        team.break_next("5xx", operation="keys")  # its addresses cannot be read
        end(team, machine.id)

    kinds = ("public IP", "startup script")
    assert left_of(team) == [(label, kind) for label in (A, B) for kind in kinds]
