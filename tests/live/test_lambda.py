"""Lambda: each check is named for a doubt of `orchestrator/providers/lambda_cloud/doubts.py`.

Nothing ends a machine of Lambda's from inside: should this process die, end it in the console.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orchestrator.errors import MachineNotFound, Unreachable
from orchestrator.providers.base import (
    Leftovers,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.providers.lambda_cloud import mapping, refusals
from orchestrator.remote.keys import make_key_pair
from orchestrator.remote.ssh import connect
from tests.live.account import Account, rows

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

Rented = tuple[Machine, MachineRequest]
TERMINATE = "/instance-operations/terminate"


@pytest.fixture(scope="module")
def rented(lambda_account: Account) -> Iterator[Rented]:
    """One machine for every check that needs one, while it runs."""
    with lambda_account.rented() as (machine, request):
        yield lambda_account.running(machine), request


def test_list_after_launch_and_billing_start(lambda_account: Account) -> None:
    """How long a launch is missing from the list; the invoice of the week tells the rest."""
    with lambda_account.rented() as (machine, _):
        launched_s = lambda_account.clock.awake_s()
        while machine.id not in [one.id for one in lambda_account.provider.list_machines()]:
            assert lambda_account.clock.awake_s() - launched_s < 60, "not listed after a minute"
            lambda_account.pause(1)
        missing_s = lambda_account.clock.awake_s() - launched_s
        assert missing_s <= lambda_account.provider.capabilities.list_lag_s, f"{missing_s:.0f} s"


def test_limit_on_launch_and_limit_headers(lambda_account: Account) -> None:
    """Launches of a type that does not exist, one after the other: none can make a machine."""
    body = {
        "region_name": "us-east-1",
        "instance_type_name": "gpu_0x_none",
        "ssh_key_names": ["none"],
        "name": "gpulease-live-limit",
    }
    answers = [
        lambda_account.ask_once("POST", "/instance-operations/launch", body) for _ in range(3)
    ]
    limited = [answer for answer in answers if answer.status == 429]
    lambda_account.pause(15)  # the next launch is another check's

    assert limited, [answer.status for answer in answers]
    told = {name for name in limited[0].headers if "retry" in name or "ratelimit" in name}
    assert not told, f"headers tell how long to wait: {told}"
    assert not [one for one in lambda_account.provider.list_machines() if one.label == body["name"]]


def test_terminate_again_and_gone_by_id(lambda_account: Account) -> None:
    with lambda_account.rented() as (machine, _):
        ask = {"instance_ids": [machine.id]}
        first = lambda_account.ask("POST", TERMINATE, ask)
        again = lambda_account.ask("POST", TERMINATE, ask)
        assert mapping.is_terminating(first.data(), machine.id)
        assert again.status == 200 or refusals.says_no_such_object(again), again.status
        lambda_account.give_back(machine)
        with pytest.raises(MachineNotFound):
            lambda_account.provider.get_machine(machine.id)


def test_host_key_by_cloud_init(lambda_account: Account, rented: Rented) -> None:
    machine, request = rented
    assert isinstance(machine.address, SshAddress)
    pinned = " ".join(request.host_public_key.split()[:2])
    give_up_s = lambda_account.clock.awake_s() + 300

    while True:
        try:
            key = lambda_account.keys.private_path
            connect(machine.address, key, pinned, "gpulease/live", 10.0).close()
            return
        except Unreachable:
            assert lambda_account.clock.awake_s() < give_up_s, "no login under the given key"
            lambda_account.pause(5)


def test_same_key_twice(lambda_account: Account, rented: Rented) -> None:
    body = {"name": "gpulease-live-twice", "public_key": rented[1].public_key}

    again = lambda_account.ask("POST", "/ssh-keys", body)

    if again.status == 200:
        for row in rows(lambda_account.ask("GET", "/ssh-keys"), "data"):
            if row["name"] == body["name"]:
                lambda_account.ask("DELETE", f"/ssh-keys/{row['id']}")
    assert again.status != 200, "one key may have two names: the care is not needed"


def test_taken_key_name(lambda_account: Account, rented: Rented, tmp_path: Path) -> None:
    """Another key under the name of the run's."""
    blob = mapping.to_key_blob(rented[1].public_key)
    listed = rows(lambda_account.ask("GET", "/ssh-keys"), "data")
    (name,) = (row["name"] for row in listed if mapping.to_key_blob(row["public_key"]) == blob)
    body = {"name": name, "public_key": make_key_pair(tmp_path).public_line}

    again = lambda_account.ask("POST", "/ssh-keys", body)

    if again.status == 200:
        made = (again.problem() or {})["data"]
        assert isinstance(made, dict)
        lambda_account.ask("DELETE", f"/ssh-keys/{made['id']}")
    assert again.status == 400, f"names are not unique: {again.status}"
    assert refusals.words(again)[0] == "global/duplicate", refusals.words(again)


def test_halted_unhealthy(lambda_account: Account) -> None:
    with lambda_account.rented() as (machine, request):
        lambda_account.halted(lambda_account.running(machine), request)
        try:
            seen = lambda_account.until(
                machine, lambda one: one.status is not MachineStatus.RUNNING, 600
            )
        except MachineNotFound:
            pytest.fail("a halt ends the machine: it could be its guard")
    assert seen.status is MachineStatus.OUT_OF_TOUCH, seen.status


def test_key_removed_after_launch(lambda_account: Account, rented: Rented) -> None:
    machine, _ = rented
    provider = lambda_account.provider
    assert isinstance(provider, Leftovers)
    assert isinstance(machine.address, SshAddress)

    for left in provider.list_leftovers():
        if left.label == machine.label:
            provider.delete_leftover(left)

    key = lambda_account.keys.private_path
    connect(machine.address, key, None, "gpulease/live", 30.0).close()


def test_page_token(lambda_account: Account, rented: Rented) -> None:
    whole = lambda_account.ask("GET", "/instances").data()

    assert isinstance(whole, dict)
    assert whole.get("page_token") is None, "lists come in pages without being asked to"


def test_workspace_of_key(lambda_account: Account) -> None:
    told = lambda_account.ask("GET", "/instances").data()

    assert "workspace" not in str(told), "a workspace is named: the identity could be its"


@pytest.mark.skipif("GPULEASE_LAMBDA_URL" in os.environ, reason="asks the real host alone")
def test_old_host_redirects() -> None:
    answer = httpx.get("https://cloud.lambdalabs.com/api/v1/instances", follow_redirects=False)

    assert answer.status_code in (301, 308), answer.status_code
