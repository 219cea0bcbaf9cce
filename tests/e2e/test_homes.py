"""Homes that are restored, copied or lost, and keys that are another's or revoked.

No second machine, no machine of another home touched, no false proof, nothing lost that could be
had.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud, deadline_s_of
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code
from tests.e2e.person import Person, waits_until
from tests.e2e.places import Place, everywhere
from tests.e2e.test_cancel import create
from tests.providers.ssh_host.workstation import Workstation

DAY_S = 86_400.0
WAITS_THEN_WRITES = WAITS + WRITES_A_RESULT
TIRELESS = "import time; time.sleep(90000)"


def back_up(person: Person, place: Path) -> Path:
    """A copy of the home as it stands; nobody drives it any more."""
    person.kills_driver()
    shutil.copytree(person.home, place, ignore=shutil.ignore_patterns("*.sock"))
    return place


def restore(person: Person, backup: Path) -> None:
    person.kills_driver()
    shutil.rmtree(person.home)
    shutil.copytree(backup, person.home)


def works(person: Person, *, max_duration: str = "30m", **job: Any) -> str:
    """Submit a program that waits for a word; gives the run's id once it runs."""
    script = WAITS_THEN_WRITES
    run = person.submits(own_code(person, script, max_duration=max_duration, **job))
    person.waits_for_state("running")
    return run


def receipt_of(person: Person, place: Cloud | Place) -> dict[str, Any]:
    person.types("ps")  # starts a driver, which takes its time, before any hurry
    with place.hurrying():
        ended = person.types("attach", "last")
    receipt = person.types("receipt", "last", "--json")
    assert ended.code == receipt.code == receipt.json()["exit_code"], ended.err
    return receipt.json()


def came_home(receipt: dict[str, Any]) -> bool:
    return Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"


BACKED_UP = {
    # The run's key pair is made after the backup: nobody can log in, so the machine goes back with
    # all that it made.
    "planned": ((create("rate_limit", seconds=15),), ("expired", 8)),
    "booting": (({"fault": "ssh_late", "seconds": 30},), ("succeeded", 0)),
    "running": ((), ("succeeded", 0)),
}
WHERE = [*(("runpod", state) for state in BACKED_UP), ("ssh_host", "running")]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "state"), WHERE, indirect=["place"])
def test_a_home_restored_from_yesterday_takes_up_the_machine_that_it_rented_since(
    state: str, person: Person, place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    faults, end = BACKED_UP[state]
    for fault in faults:
        request.getfixturevalue("cloud").fault(**fault)
    limits = {"max_cost": "20.00", "max_duration": "40h"}
    run = person.submits(own_code(person, WAITS_THEN_WRITES, providers=place.provider, **limits))
    person.waits_for_state(state)
    backup = back_up(person, tmp_path / "backup")
    if faults:
        request.getfixturevalue("cloud").clear_faults()
    person.types("ps")
    place.advance(30)
    person.waits_for_state("running")

    restore(person, backup)
    place.advance(DAY_S)
    place.says_go(run)

    receipt = receipt_of(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == end, receipt
    place.has_all_back(receipt, person)
    if end[0] == "succeeded":
        assert came_home(receipt)
    else:
        assert "what the machine made" in receipt["artifacts_missing"][0]


@pytest.mark.slow
@everywhere
def test_a_home_restored_from_before_the_end_rents_nothing_again(
    person: Person, place: Place, tmp_path: Path
) -> None:
    run = works(person, providers=place.provider)
    backup = back_up(person, tmp_path / "backup")
    place.says_go(run)
    first = receipt_of(person, place)
    assert first["outcome"] == "succeeded"

    restore(person, backup)
    place.advance(DAY_S)

    receipt = receipt_of(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == ("expired", 8)
    assert receipt["artifacts_missing"] == [place.what_is_lost]
    place.has_all_back(receipt, person)


@pytest.mark.slow
@everywhere
def test_a_copy_of_a_home_moves_nothing(new_person: Callable[[str], Person], place: Place) -> None:
    ada = new_person("ada")
    run = works(ada, providers=place.provider)
    for name, computer in (("beside", ""), ("elsewhere", "another computer")):
        copy = new_person(name)
        shutil.copytree(ada.home, copy.home, ignore=shutil.ignore_patterns("*.sock"))
        if computer:
            record = json.loads((copy.home / "home.json").read_text())
            (copy.home / "home.json").write_text(json.dumps(record | {"computer": computer}))

        for command in (("attach", "last"), ("cancel", "last", "--now")):
            refused = copy.types(*command, "--json")
            assert refused.code == 2, refused.err
            assert "it is read only here" in refused.err
        (shown,) = copy.types("ps", "--json").json()["runs"]
        assert (shown["run"], shown["state"]) == (run, "running")
        assert copy.driver_ids() == []
    assert len(place.machines(ada)) == 1

    place.says_go(run)
    receipt = receipt_of(ada, place)
    assert came_home(receipt)
    place.has_all_back(receipt, ada)


@pytest.mark.slow
@everywhere
def test_two_homes_share_an_account_and_one_loses_its_store(
    new_person: Callable[[str], Person], place: Place
) -> None:
    ada, bea = new_person("ada"), new_person("bea")
    ada_run, lost_run = works(ada, providers=place.provider), works(bea, providers=place.provider)
    (lost,) = place.machines(bea)
    lost_label = bea.view()["machines"][-1]["label"]
    bea.kills_driver()
    for path in bea.home.glob("gpulease.sqlite*"):
        path.unlink()

    person_sees = {
        (one["whose"], one["id"]) for one in bea.types("machines", "--json").json()["machines"]
    }
    (ada_machine,) = place.machines(ada)
    assert {("orphan", lost), ("elsewhere", ada_machine)} <= person_sees
    # Another run of hers passes over the account, and touches neither.
    again = bea.submits(own_code(bea, providers=place.provider))
    with place.hurrying():
        assert bea.types("attach", again).code == 0
    assert place.machines(bea) == [lost]
    # The machine that nobody knows goes on with its work, until its owner has it returned.
    reaped = bea.types("reap", "--delete", "--json").json()
    assert [one["id"] for one in reaped["machines"]] == [lost]
    assert place.machines(bea) == []
    assert place.machines(ada) == [ada_machine]
    assert lost_run in lost_label

    place.says_go(ada_run)
    receipt = receipt_of(ada, place)
    assert came_home(receipt)
    place.has_all_back(receipt, ada)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["booting", "running"])
def test_another_accounts_key_proves_nothing_and_rents_nothing(
    state: str, person: Person, cloud: Cloud
) -> None:
    if state == "booting":
        cloud.fault("ssh_late", seconds=600)
    run = person.submits(own_code(person, WAITS_THEN_WRITES))
    person.waits_for_state(state)
    cloud.says_go(run)
    person.kills_driver()
    right = person.env["RUNPOD_API_KEY"]
    person.env["RUNPOD_API_KEY"] = cloud.env["SIMCLOUD_RUNPOD_OTHER_KEY"]

    stuck = person.waits(
        lambda view: (
            view["state"] == ("booting" if state == "booting" else "returning")
            and "another account" in view["waiting"]
        )
    )

    assert stuck["returned"]["proven"] is False
    assert len(cloud.living(person.home_id)) == 1
    assert person.types("machines", "--json").json()["machines"] == []
    if state == "running":
        assert came_home(stuck)
    person.env["RUNPOD_API_KEY"] = right
    cloud.advance(600)
    receipt = receipt_of(person, cloud)
    assert (receipt["outcome"], receipt["exit_code"]) == ("succeeded", 0)
    assert came_home(receipt)
    books_agree(receipt, person, cloud)


@pytest.mark.slow
def test_with_its_key_revoked_the_work_comes_home_and_the_machine_ends_itself(
    person: Person, cloud: Cloud
) -> None:
    run = works(person, more="artifacts: {hold: 5m}\n")
    (machine,) = cloud.living(person.home_id)
    cloud.fault("key_revoked")
    cloud.says_go(run)

    with person.starts("attach", run, "--json") as follower:
        stuck = person.waits(
            lambda view: view["state"] == "returning" and "401" in " ".join(view["notes"])
        )
        assert came_home(stuck)
        cloud.waits_for(machine["id"], ended_by="self", step_s=30.0)
        cloud.advance(600)
        ended = person.ends(follower)
    assert ended.code == 7
    assert "IS NOT PROVEN RETURNED" in ended.err
    assert person.view()["returned"]["proven"] is False

    cloud.fault("key_restored")
    receipt = receipt_of(person, cloud)

    assert (receipt["outcome"], receipt["exit_code"]) == ("succeeded", 0)
    books_agree(receipt, person, cloud, ended_by=["self"])


@pytest.mark.slow
def test_without_a_driver_for_good_the_machine_ends_itself_at_its_deadline(
    person: Person, cloud: Cloud
) -> None:
    works(person, max_duration="20m", more="artifacts: {hold: 5m}\n")
    (machine,) = cloud.living(person.home_id)
    deadline_s = deadline_s_of(machine)

    person.kills_driver()

    cloud.advance(deadline_s - cloud.now_s() - 60)
    assert cloud.living(person.home_id), "it ended before its time"
    cloud.advance(61)  # and no further: the guard looks by its own watch, which load makes slow
    ended = cloud.waits_for(machine["id"], ended_by="self")
    assert ended["ended_at"] <= deadline_s + 60
    view = person.types("receipt", "last", "--json").json()
    assert Decimal(ended["billed_usd"]) <= Decimal(view["cap_usd"])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ssh_host"], indirect=True)
def test_without_a_driver_for_good_nothing_runs_on_a_workstation_past_its_deadline(
    person: Person, place: Place, tower: Workstation
) -> None:
    run = person.submits(own_code(person, TIRELESS, max_duration="20m", providers=place.provider))
    person.waits_for_state("running")
    (label,) = place.machines(person)

    person.kills_driver()

    place.advance(20 * 60 + 120)
    waits_until((tower.home / "gpulease" / label / "manifest.json").exists)
    place.advance(DAY_S)
    waits_until(lambda: tower.processes() == [])
    receipt = receipt_of(person, place)
    assert (receipt["run"], receipt["outcome"], receipt["exit_code"]) == (run, "expired", 5)
    place.has_all_back(receipt, person)
