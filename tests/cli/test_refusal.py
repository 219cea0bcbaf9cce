from __future__ import annotations

from orchestrator.cli.refusal import refused_view
from orchestrator.errors import BudgetRefused, NoCapacity, NoOffer
from orchestrator.runs.view import RunView


def test_it_has_every_key_of_a_run() -> None:
    assert list(refused_view(BudgetRefused("no"))) == list(RunView.__annotations__)


def test_nothing_for_rent_is_an_outcome_of_its_own() -> None:
    assert refused_view(NoOffer("no"))["outcome"] == "no_capacity"
    assert refused_view(NoCapacity("no"))["outcome"] == "no_capacity"
    assert refused_view(BudgetRefused("no"))["outcome"] == "refused"
