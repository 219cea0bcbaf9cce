"""Vast.ai: each check is named for a doubt of `orchestrator/providers/vast/doubts.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import BadCredentials, GpuleaseError, MachineNotFound, NoCapacity
from orchestrator.providers.base import Account as HasBalance
from orchestrator.providers.base import (
    BootLog,
    Charges,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.providers.vast import URL, Vast
from orchestrator.providers.vast.requests import to_create_body
from orchestrator.remote.keys import is_same_key, shown_host_key
from orchestrator.remote.ssh import connect
from tests.live.account import Account, ends_itself, key_or_skip, rows

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

BUNDLES = "/api/v0/bundles/"
Rented = tuple[Machine, MachineRequest]


@pytest.fixture(scope="module")
def rented(vast_account: Account) -> Iterator[Rented]:
    """One machine for every check that needs one, while it runs."""
    with vast_account.rented() as (machine, request):
        yield vast_account.running(machine), request


def raw(account: Account, machine: Machine) -> dict[str, Any]:
    """The instance as the read of one shows it."""
    data = account.ask("GET", f"/api/v0/instances/{machine.id}/").data()
    assert isinstance(data, dict)
    row: dict[str, Any] = data["instances"]
    return row


def test_balance_field(vast_account: Account) -> None:
    user = vast_account.ask("GET", "/api/v0/users/current/").data()

    assert isinstance(user, dict)
    assert user.get("credit") is not None, sorted(user)


def test_search_type(vast_account: Account) -> None:
    found = [
        rows(vast_account.ask("POST", BUNDLES, {"type": word, "limit": 5}), "offers")
        for word in ("on-demand", "ondemand")
    ]

    assert all(found), "only one of the spellings finds something"
    assert not any(row.get("is_bid") for one in found for row in one)


def test_search_rows(vast_account: Account) -> None:
    query = {"verified": {"eq": True}, "rentable": {"eq": True}, "limit": 512}
    found = rows(vast_account.ask("POST", BUNDLES, query), "offers")

    assert len(found) > 64, f"{len(found)} rows: the market or the answer ends there"


def test_search_defaults(vast_account: Account) -> None:
    found = rows(vast_account.ask("POST", BUNDLES, {"limit": 64}), "offers")

    seen = {row.get("verification") for row in found}
    assert seen == {"verified"}, f"a search that says nothing shows {seen}"


def test_retry_after(vast_account: Account) -> None:
    answers = [vast_account.ask_once("GET", "/api/v1/instances/") for _ in range(20)]

    refused = [one for one in answers if one.status == 429]
    assert refused, "twenty lists at once were allowed"
    assert all("retry-after" in one.headers for one in refused), refused[0].body[:200]


def test_destroy_needs_2fa(vast_account: Account) -> None:
    """Nothing is there to destroy: only a key that may not is refused."""
    vast_account.provider.delete_machine("1")

    with pytest.raises(MachineNotFound):
        vast_account.provider.get_machine("1")


def test_cancel_unavailable(vast_account: Account) -> None:
    """Of two creates on one ask the second comes too late: it must leave nothing."""
    with vast_account.rented() as (machine, request):
        late = replace(request, label=request.label[:-1] + "z")
        with pytest.raises(NoCapacity):
            vast_account.provider.create_machine(late)
        labels = [one.label for one in vast_account.provider.list_machines()]

    assert late.label not in labels and machine.id


def test_stopped_while_loading(vast_account: Account) -> None:
    seen: list[tuple[object, ...]] = []
    with vast_account.rented() as (machine, _):

        def has_left_loading(_: Machine) -> bool:
            row = raw(vast_account, machine)
            states = ("actual_status", "cur_state", "intended_status", "next_state")
            seen.append(tuple(row[state] for state in states))
            return row["actual_status"] not in (None, "created", "loading")

        vast_account.until(machine, has_left_loading, 2400)

    assert not any(states[1:] == ("stopped",) * 3 for states in seen), seen


def test_bid_floor(vast_account: Account) -> None:
    with vast_account.rented(spot=True) as (machine, request):
        running = vast_account.running(machine)
        row = raw(vast_account, running)

    assert running.spot, "what was bid for says that it is on demand"
    bid_usd = request.bid_usd_per_hour or Decimal(0)
    assert abs(Decimal(row["dph_base"]) - bid_usd) < Decimal("0.001"), row["dph_base"]


def test_ports_in_single(vast_account: Account, rented: Rented) -> None:
    assert "22/tcp" in (raw(vast_account, rented[0]).get("ports") or {})


def test_onstart_size(vast_account: Account, rented: Rented) -> None:
    machine, request = rented

    kept = raw(vast_account, machine).get("onstart") or ""

    assert kept.strip() == str(to_create_body(request)["onstart"]).strip()


def test_key_by_onstart_and_host_key_in_log(vast_account: Account, rented: Rented) -> None:
    machine, _ = rented
    assert isinstance(machine.address, SshAddress)
    assert isinstance(vast_account.provider, BootLog)
    shell = connect(machine.address, vast_account.keys.private_path, None, "gpulease", 60.0)
    try:
        assert shell.run("true", timeout_s=30.0).exit_code == 0
        shown = shown_host_key(vast_account.provider.boot_log(machine.id))
        assert shown, "the log shows no host key"
        assert is_same_key(shown, shell.host_key)
    finally:
        shell.close()


def test_rate_while_stopped(vast_account: Account, rented: Rented) -> None:
    """The last one with this machine: it may not come back."""
    machine, _ = rented
    before = raw(vast_account, machine)["dph_total"]
    vast_account.ask("PUT", f"/api/v0/instances/{machine.id}/", {"state": "stopped"})

    vast_account.until(machine, lambda seen: seen.status.value == "stopped", 300)

    after = raw(vast_account, machine)["dph_total"]
    assert after == before, f"a stopped instance shows {after} instead of {before}"


def test_pull_traffic(vast_account: Account) -> None:
    """Of the instances of these checks that ended more than a day ago."""
    assert isinstance(vast_account.provider, Charges)
    now_s = vast_account.clock.now_s()
    filters = {"day": {"gte": int(now_s - 14 * 86_400), "lte": int(now_s)}}
    answer = vast_account.ask(
        "GET", "/api/v0/charges/", select_filters=json.dumps(filters), format="table", limit="100"
    )
    ours = [
        row
        for row in rows(answer, "results")
        if str((row.get("metadata") or {}).get("label", "")).startswith("gl1-livets-")
    ]
    if not ours:
        pytest.skip("no check of this file has rented anything more than a day ago")
    received = [item for row in ours for item in row["items"] if item["type"] == "bwd"]
    assert not any(item["amount"] > 0.01 for item in received), "the pull of an image is charged"


def test_right_missing() -> None:
    """With a key that may read alone, made by hand: there is nothing to destroy."""
    url = os.environ.get("GPULEASE_VAST_URL", URL)
    client = Vast(key_or_skip("VAST_READ_ONLY_API_KEY"), url=url)

    try:
        with pytest.raises(BadCredentials):
            client.delete_machine("1")
    finally:
        client.close()


def test_exited_bills(vast_account: Account) -> None:
    """The first process of a container is ended: what does the account lose in three minutes?"""
    assert isinstance(vast_account.provider, HasBalance)
    with vast_account.rented() as (machine, _):
        running = vast_account.running(machine)
        assert isinstance(running.address, SshAddress)
        key = vast_account.keys.private_path
        shell = connect(running.address, key, None, "gpulease", 60.0)
        with suppress(GpuleaseError):
            shell.run("kill -9 -1; kill -TERM 1", timeout_s=30.0)
        shell.close()
        give_up_s = vast_account.clock.awake_s() + 120
        while vast_account.provider.get_machine(machine.id).status is not MachineStatus.FAILED:
            if vast_account.clock.awake_s() > give_up_s:
                pytest.skip("an instance whose first process ends is started again at once")
            vast_account.pause(2.5)
        before = vast_account.provider.balance_usd()
        vast_account.pause(180)
        after = vast_account.provider.balance_usd()
    assert before is not None and after is not None
    half = running.usd_per_hour * Decimal(180) / 3600 / 2
    assert before - after < half, f"three minutes of `exited` cost ${before - after}"


def test_self_destroy() -> None:
    ends_itself("vast")
