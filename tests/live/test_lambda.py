"""Lambda: each check is named for a doubt of `orchestrator/providers/lambda_cloud/doubts.py`.

Nothing ends a machine of Lambda's from inside: should this process die, end it in the console.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from orchestrator.errors import MachineNotFound, Unreachable
from orchestrator.providers.base import Leftovers, Machine, MachineRequest, SshAddress
from orchestrator.providers.lambda_cloud import mapping, refusals
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
            time.sleep(1)
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
    answers = [lambda_account.ask("POST", "/instance-operations/launch", body) for _ in range(3)]
    limited = [answer for answer in answers if answer.status == 429]
    time.sleep(15)  # the next launch is another check's

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
            time.sleep(5)


def test_same_key_twice(lambda_account: Account, rented: Rented) -> None:
    body = {"name": "gpulease-live-twice", "public_key": rented[1].public_key}

    again = lambda_account.ask("POST", "/ssh-keys", body)

    if again.status == 200:
        for row in rows(lambda_account.ask("GET", "/ssh-keys"), "data"):
            if row["name"] == body["name"]:
                lambda_account.ask("DELETE", f"/ssh-keys/{row['id']}")
    assert again.status != 200, "one key may have two names: the care is not needed"


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


def test_old_host_redirects() -> None:
    answer = httpx.get("https://cloud.lambdalabs.com/api/v1/instances", follow_redirects=False)

    assert answer.status_code in (301, 308), answer.status_code
