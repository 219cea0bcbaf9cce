"""RunPod: each check is named for a doubt of `orchestrator/providers/runpod/doubts.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from orchestrator.errors import InsufficientFunds, NoCapacity
from orchestrator.providers.base import Account as HasIdentity
from orchestrator.providers.base import Charges, Machine, MachineRequest, MachineStatus
from orchestrator.providers.runpod import URL
from orchestrator.providers.runpod.mapping import to_create_body
from orchestrator.spec.resources import Need
from tests.live.account import CAP_USD, Account, ends_itself

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
    for path, query in (("/pods", {"limit": "1"}), ("/billing/pods", {"lastN": "1"})):
        data = runpod_account.ask("GET", path, **query).data()
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
    assert all(charge.machine_id and charge.usd is not None for charge in charges)


def test_self_terminate() -> None:
    ends_itself("runpod")


def test_capacity_words(runpod_account: Account) -> None:
    """A create for hosts with a CUDA that there is not: nothing can come of it."""
    request = runpod_account.request()
    details = {**request.offer.details, "least_cuda": "99.0"}
    nowhere = replace(request, offer=replace(request.offer, details=details))

    error = runpod_account.refused(nowhere)

    assert isinstance(error, NoCapacity), error.problem


def test_funds_refusal(runpod_account: Account) -> None:
    """Of an account that holds less than the hour of a machine, which it must to rent it."""
    provider = runpod_account.provider
    assert isinstance(provider, HasIdentity)
    balance_usd = provider.balance_usd()
    assert balance_usd is not None, "no balance is told"
    dearer = [
        offer
        for offer in provider.list_offers(Need(disk_gib=20, cuda=""))
        if balance_usd < offer.price.usd_per_hour and offer.price.for_seconds(180) < CAP_USD
    ]
    if not dearer:
        pytest.skip(f"${balance_usd:.2f} are enough for every machine that may be risked here")

    error = runpod_account.refused(runpod_account.request(dearer[0], life_s=180))

    assert isinstance(error, InsufficientFunds), error.problem
    assert "402" in error.problem, error.problem


def test_error_bills(runpod_account: Account) -> None:
    """A pod whose command is not in its image: where that ends in ERROR, what does it show?"""
    body = to_create_body(runpod_account.request())
    body["args"] = json.dumps({"entrypoint": ["/not/there"], "cmd": []})
    made = runpod_account.ask("POST", "/pods", body).data()
    assert isinstance(made, dict)
    pod = runpod_account.provider.get_machine(str(made["id"]))
    try:
        give_up_s = runpod_account.clock.awake_s() + 300
        while runpod_account.provider.get_machine(pod.id).status is not MachineStatus.FAILED:
            if runpod_account.clock.awake_s() > give_up_s:
                pytest.skip("this does not bring a pod into ERROR")
            runpod_account.pause(5)
        shown = runpod_account.ask("GET", f"/pods/{pod.id}").data()
    finally:
        runpod_account.give_back(pod)
    assert isinstance(shown, dict)
    assert shown["cost"] == 0, f"a pod in ERROR shows ${shown['cost']} an hour"


def test_urllib_agent() -> None:
    url = os.environ.get("GPULEASE_RUNPOD_URL", URL)

    answer = httpx.get(f"{url}/pods", headers={"User-Agent": "Python-urllib/3.11"})

    assert answer.status_code == 403, f"it is let through to a {answer.status_code}"
    assert "json" not in answer.headers.get("content-type", "")
