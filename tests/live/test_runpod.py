"""RunPod: each check is named for a doubt of `orchestrator/providers/runpod/doubts.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.providers.base import Account as HasIdentity
from orchestrator.providers.base import Charges, Machine, MachineRequest
from orchestrator.providers.runpod.mapping import to_create_body
from tests.live.account import Account

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

Rented = tuple[Machine, MachineRequest]


@pytest.fixture(scope="module")
def rented(runpod_account: Account) -> Iterator[Rented]:
    """One pod for every check that needs one, while it runs."""
    with runpod_account.rented() as (machine, request):
        yield runpod_account.running(machine), request


def test_graphql_lives(runpod_account: Account) -> None:
    assert isinstance(runpod_account.provider, HasIdentity)

    assert runpod_account.provider.identity().startswith("user:")
    assert runpod_account.provider.balance_usd() is not None


def test_pagination(runpod_account: Account) -> None:
    for path in ("/pods", "/network-volumes"):
        data = runpod_account.ask("GET", path, limit="1").data()
        assert isinstance(data, dict)
        assert "hasNextPage" in data.get("pagination", {}), path


def test_quota(runpod_account: Account) -> None:
    limits = runpod_account.ask("GET", "/pods", limit="1").headers.get("ratelimit", "")

    left = [part for part in limits.split(",") if "minute" in part]
    assert left, f"no header says what is left: {limits!r}"
    assert int(left[0].partition("r=")[2].partition(";")[0]) > 60, limits


def test_community_address(runpod_account: Account, rented: Rented) -> None:
    machine, request = rented

    assert machine.address is not None
    assert request.offer.details["cloud"] == "COMMUNITY", "the cheapest was no community pod"


def test_start_ssh(runpod_account: Account) -> None:
    """A pod that is given a key alone."""
    with runpod_account.rented() as (_, request):
        again = replace(request, label=request.label[:-1] + "z")
        body = {**to_create_body(again), "startSsh": False}
        made = runpod_account.ask("POST", "/pods", body).data()
        assert isinstance(made, dict)
        pod = runpod_account.provider.get_machine(str(made["id"]))
        try:
            assert runpod_account.running(pod).address is not None
        finally:
            runpod_account.give_back(pod)


def test_billing_start_and_billing_lag(runpod_account: Account) -> None:
    """A pod that is given back as soon as it runs: what of its boot is on the bill an hour later?

    Of earlier checks, because records come late.
    """
    provider = runpod_account.provider
    assert isinstance(provider, Charges)
    now_s = runpod_account.clock.now_s()

    charges = provider.charges(now_s - 7 * 86_400, now_s - provider.capabilities.billing_lag_s)

    if not charges:
        pytest.skip("no pod of the last week is on the bill")
    assert all(charge.machine_id and charge.usd >= 0 for charge in charges)


def test_self_terminate() -> None:
    """A drill, as a person makes it: the pod has to be gone by itself."""
    drill = [sys.executable, "-m", "orchestrator", "doctor", "--drill", "runpod", "--yes", "--json"]

    ended = subprocess.run(drill, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]
