"""Cap and deadline, whatever a step is at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.errors import GpuleaseError, HomeError, ProviderDown, Unreachable
from orchestrator.providers.base import GuardWay
from orchestrator.runs.states import Outcome, State
from tests.lifecycle.steps.harness import CAPABILITIES, HOST_KEY, Stage
from tests.runs.samples import NOW_S

UNGUARDED = replace(CAPABILITIES, guard=GuardWay.NONE)
CAP_USD = Decimal("0.60")


def until_it_goes_back(stage: Stage) -> None:
    stage.until(lambda run: bool(stage.cloud.said("delete")), limit_s=30_000)
    stage.until(lambda run: not run.is_open)
    assert stage.run.upper_usd(stage.clock.now_s()) <= CAP_USD
    assert stage.run.outcome is Outcome.CAPPED


@pytest.mark.parametrize("state", [State.BOOTING, State.SHIPPING])
def test_the_cap_ends_a_machine_that_nobody_may_list_or_reach(stage: Stage, state: State) -> None:
    stage.cloud.capabilities = UNGUARDED
    changes: dict[str, object] = {"host_key": HOST_KEY, "deadline_s": NOW_S + 10**6, "capped": True}
    stage.begin_held(state, changes, cap_usd=CAP_USD)
    stage.box.fault = Unreachable("nobody answers")
    list_machines = stage.cloud.list_machines

    def down_while_it_lives() -> list[object]:
        if not stage.cloud.said("delete"):
            raise ProviderDown("502")
        return list(list_machines())

    stage.cloud.list_machines = down_while_it_lives  # type: ignore[method-assign, assignment]

    until_it_goes_back(stage)


@pytest.mark.parametrize("state", [State.BOOTING, State.SHIPPING])
def test_the_cap_ends_a_machine_whose_key_cannot_be_read_at_home(
    stage: Stage, state: State
) -> None:
    stage.cloud.capabilities = UNGUARDED
    changes: dict[str, object] = {"host_key": HOST_KEY, "deadline_s": NOW_S + 10**6, "capped": True}
    stage.begin_held(state, changes, cap_usd=CAP_USD)
    unreadable: GpuleaseError = HomeError("The key pair cannot be used: Permission denied")
    stage.box.fault = unreadable

    until_it_goes_back(stage)


def test_what_boots_past_its_deadline_is_ended_by_its_step_and_not_as_over(stage: Stage) -> None:
    stage.begin_held(State.BOOTING, {"host_key": HOST_KEY, "deadline_s": NOW_S + 2000.0})
    stage.box.fault = Unreachable("nobody answers")

    stage.until(lambda run: not run.is_open)

    assert "nobody could log in within" in stage.events()
