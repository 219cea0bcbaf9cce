"""Every bench by its provider's name, and which tests a fault or a call makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.errors import ProviderError
from tests.contract.cloud_bench import CloudBench
from tests.contract.lambda_cloud_bench import LambdaBench
from tests.contract.local_bench import LocalBench
from tests.contract.paperspace_bench import PaperspaceBench
from tests.contract.runpod_bench import RunPodBench
from tests.contract.ssh_host_bench import SshHostBench
from tests.contract.vast_bench import VastBench

CLOUDS: dict[str, type[CloudBench]] = {
    "runpod": RunPodBench,
    "lambda_cloud": LambdaBench,
    "vast": VastBench,
    "paperspace": PaperspaceBench,
}
BENCHES: dict[str, type[CloudBench | LocalBench | SshHostBench]] = {
    **CLOUDS,
    "local": LocalBench,
    "ssh_host": SshHostBench,
}


def broken_by(*faults: str) -> pytest.MarkDecorator:
    """Runs a test for every provider with each of these faults that can happen to it."""
    return pytest.mark.parametrize(("bench", "fault"), _met(faults), indirect=["bench"])


def broken_as(kinds: Mapping[str, type[ProviderError]]) -> pytest.MarkDecorator:
    """The same, with the error that each fault is."""
    met = [(bench, fault, kinds[fault]) for bench, fault in _met(kinds)]
    return pytest.mark.parametrize(("bench", "fault", "kind"), met, indirect=["bench"])


def of_each_cloud(*calls: str) -> pytest.MarkDecorator:
    """Runs a test for every cloud and each of these calls that asks it anything."""
    has = [(name, call) for name, one in CLOUDS.items() for call in calls if one.asks.get(call)]
    return pytest.mark.parametrize(("cloud", "call"), has, indirect=["cloud"])


def _met(faults: Mapping[str, object] | tuple[str, ...]) -> list[tuple[str, str]]:
    met = [(name, one) for one in faults for name, bench in BENCHES.items() if one in bench.faults]
    assert {fault for _, fault in met} == set(faults), "a fault that nobody can meet"
    return met
