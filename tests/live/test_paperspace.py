"""Paperspace: each check is named for a doubt of `orchestrator/providers/paperspace/doubts.py`.

Nothing ends a machine of Paperspace's from inside: should this process die, delete it in the
console.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.errors import HostKeyMismatch, Unreachable
from orchestrator.providers.base import Machine, MachineRequest, MachineStatus, SshAddress
from orchestrator.providers.paperspace import mapping
from orchestrator.providers.paperspace.catalog import KINDS, region_code
from orchestrator.providers.paperspace.offers import to_templates
from orchestrator.remote.ssh import connect
from orchestrator.spec.resources import Need
from tests.live.account import Account, rows

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

Rented = tuple[Machine, MachineRequest]


@pytest.fixture(scope="module")
def rented(paperspace_account: Account) -> Iterator[Rented]:
    """One machine for every check that needs one, while it runs."""
    with paperspace_account.rented() as (machine, request):
        yield paperspace_account.running(machine), request


def shown(account: Account, machine_id: str) -> dict[str, Any]:
    """A machine as the raw API shows it."""
    data = account.ask("GET", f"/machines/{machine_id}").data()
    assert isinstance(data, dict)
    return data


def test_still_sold(paperspace_account: Account) -> None:
    assert paperspace_account.provider.list_offers(Need(disk_gib=50)), "nothing is for rent"


def test_list_after_create_and_billed_by_the_hour(paperspace_account: Account) -> None:
    """How long a new machine is missing from the list; the month's invoice tells the rest."""
    with paperspace_account.rented() as (machine, _):
        created_s = paperspace_account.clock.awake_s()
        while machine.id not in [one.id for one in paperspace_account.provider.list_machines()]:
            waited_s = paperspace_account.clock.awake_s() - created_s
            assert waited_s < 120, "not listed after two minutes"
            paperspace_account.pause(1)
        missing_s = paperspace_account.clock.awake_s() - created_s
        assert missing_s <= paperspace_account.provider.capabilities.list_lag_s, f"{missing_s:.0f}"


def test_off_after_create(paperspace_account: Account) -> None:
    """The longest that a machine with capacity is `off` before it runs."""
    with paperspace_account.rented() as (machine, _):
        off_s = 0.0
        give_up_s = paperspace_account.clock.awake_s() + 900
        while shown(paperspace_account, machine.id)["state"] != "ready":
            assert paperspace_account.clock.awake_s() < give_up_s, "not ready in 15 minutes"
            if shown(paperspace_account, machine.id)["state"] == "off":
                off_s += 2.0
            paperspace_account.pause(2)
        assert off_s < mapping.STARTING_S, f"it was off for {off_s:.0f} s"


def test_unit_of_rates_and_region_form(paperspace_account: Account, rented: Rented) -> None:
    told = shown(paperspace_account, rented[0].id)

    assert float(told["usageRate"]) == pytest.approx(0.0045, rel=0.5), told["usageRate"]
    assert float(told["storageRate"]) == pytest.approx(5, rel=0.5), told["storageRate"]
    assert region_code(told["region"]) == "ny2", told["region"]
    assert told["region"] == "ny2", f"regions are told as {told['region']!r}"


def test_delete_while_running_gone_by_id_and_script_names_machine(
    paperspace_account: Account,
) -> None:
    with paperspace_account.rented() as (machine, request):
        paperspace_account.running(machine)
        deleted = paperspace_account.ask("DELETE", f"/machines/{machine.id}")
        assert deleted.status == 200, f"it must be off first: {deleted.detail()}"
        paperspace_account.give_back(machine)
        by_id = paperspace_account.ask("GET", f"/machines/{machine.id}")
        assert by_id.status == 404, "a deleted machine is shown with its date of deletion"
        scripts = paperspace_account.ask("GET", "/startup-scripts", name=request.label)
        named = [row["assignedMachineIds"] for row in rows(scripts, "items")]
        assert [machine.id] in named, named


@pytest.mark.timeout(7200)
def test_auto_shutdown(paperspace_account: Account) -> None:
    """An hour's limit and a login that works all the time: does the machine stop?"""
    with paperspace_account.rented() as (machine, request):
        path = f"/machines/{machine.id}"
        changed = paperspace_account.ask("PUT", path, {"autoShutdownTimeout": 1})
        assert changed.status == 200, changed.detail()
        ready = paperspace_account.running(machine)
        assert isinstance(ready.address, SshAddress)
        pinned = " ".join(request.host_public_key.split()[:2])
        key = paperspace_account.keys.private_path
        give_up_s = paperspace_account.clock.awake_s() + 80 * 60
        while paperspace_account.clock.awake_s() < give_up_s:
            if paperspace_account.provider.get_machine(machine.id).status is MachineStatus.STOPPED:
                return
            connect(ready.address, key, pinned, "gpulease/live", 30.0).close()
            paperspace_account.pause(60)
        pytest.fail("after 80 minutes it still runs: hours are counted while nobody uses it")


def test_halt_turns_off(paperspace_account: Account) -> None:
    """Whether it is still billed then, the month's invoice tells."""
    with paperspace_account.rented() as (machine, request):
        paperspace_account.halted(paperspace_account.running(machine), request)
        paperspace_account.until(machine, lambda one: one.status is MachineStatus.STOPPED, 600)


def test_host_key_by_script(paperspace_account: Account, rented: Rented) -> None:
    machine, request = rented
    assert isinstance(machine.address, SshAddress)
    pinned = " ".join(request.host_public_key.split()[:2])
    give_up_s = paperspace_account.clock.awake_s() + 300

    while True:
        try:
            key = paperspace_account.keys.private_path
            connect(machine.address, key, pinned, "gpulease/live", 10.0).close()
            return
        except (Unreachable, HostKeyMismatch):  # its first key, until the script has run
            assert paperspace_account.clock.awake_s() < give_up_s, "no login under the given key"
            paperspace_account.pause(5)


def test_template_by_label(paperspace_account: Account) -> None:
    listed = rows(paperspace_account.ask("GET", "/os-templates", limit="120"), "items")

    missing = set(KINDS) - set(to_templates(listed))

    assert not missing, f"no template with a driver for {sorted(missing)}"


def test_limits_of_calls(paperspace_account: Account) -> None:
    """Reads of one minute's budget, one after the other."""
    answers = [paperspace_account.ask_once("GET", "/auth/session") for _ in range(60)]

    assert {answer.status for answer in answers} == {200}, "60 calls in a row are too many"
    told = {name for name in answers[-1].headers if "retry" in name or "ratelimit" in name}
    assert not told, f"headers tell the limit: {told}"
