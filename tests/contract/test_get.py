from __future__ import annotations

import pytest

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    MachineNotFound,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.providers.wrappers import stacked
from tests.contract.bench import Bench, end, rent
from tests.contract.benches import broken_as, broken_by


def test_an_id_that_never_was_is_not_found(bench: Bench) -> None:
    machine = rent(bench)
    end(bench, machine.id)

    with pytest.raises(MachineNotFound):
        bench.provider.get_machine(machine.id[:-1] + ("7" if machine.id[-1] != "7" else "8"))


@broken_as(
    {
        "unreached": ProviderDown,
        "html_502": ProviderDown,
        "5xx": ProviderDown,
        "reply_lost": ProviderDown,
        "unreadable": ProviderDown,
        "rate_limit": RateLimited,
        "wrong_key": BadCredentials,
        "forbidden": BadCredentials,
        "gone": ApiGone,
    }
)
def test_trouble_is_never_taken_for_absence(
    bench: Bench, fault: str, kind: type[ProviderError]
) -> None:
    machine = rent(bench)
    bench.break_next(fault, operation="get")

    with pytest.raises(ProviderError) as caught:
        bench.provider.get_machine(machine.id)
    assert type(caught.value) is kind


@broken_by("html_502", "unreached")
def test_patience_gets_past_trouble_that_passes(bench: Bench, fault: str) -> None:
    machine = rent(bench)
    bench.break_next(fault, operation="get")

    assert stacked(bench.provider).get_machine(machine.id).id == machine.id
