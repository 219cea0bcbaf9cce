"""`gpulease cancel` gives the machine back, whatever the run is doing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person
from tests.e2e.places import Place, everywhere

BIG = """\
import os, pathlib
with open(pathlib.Path(os.environ["GPULEASE_OUTPUT"]) / "big.bin", "wb") as file:
    for _ in range(400):
        file.write(os.urandom(1 << 20))
"""


@dataclass(frozen=True, slots=True)
class Held:
    """How a run is kept in a state until somebody cancels it."""

    state: str
    faults: tuple[dict[str, Any], ...] = ()
    script: str = "import time; time.sleep(900)"
    more: str = ""
    cut: bool = False  # the network to its machine, once the state is reached
    machines: int = 1
    code: int = 9


def create(fault: str, **options: object) -> dict[str, Any]:
    return {"fault": fault, "operation": "create", **options}


HELD = {
    "planned": Held("planned", (create("rate_limit", seconds=600),), machines=0),
    "renting": Held("renting", (create("timeout_after", seconds=8),)),
    "looking": Held("looking", ({"fault": "list_lag_s", "seconds": 60}, create("reply_lost"))),
    "booting": Held("booting", ({"fault": "boot_stuck"},)),
    "shipping": Held("shipping", cut=True),
    "setting_up": Held("setting_up", more="setup: sleep 900\n"),
    "collecting": Held("collecting", script=BIG, cut=True, code=8),
}
ON_OWN_MACHINE = ("shipping", "setting_up", "collecting")  # elsewhere it waits for a provider
WHERE = [("runpod", held) for held in HELD.values()]
WHERE += [("ssh_host", HELD[name]) for name in ON_OWN_MACHINE]


def ends(person: Person, place: Cloud | Place) -> dict[str, Any]:
    """The receipt, once the machine is proven gone; its exit code is the run's."""
    with place.hurrying():
        ended = person.types("attach", "last")
    receipt = person.types("receipt", "last", "--json")
    assert ended.code == receipt.code == receipt.json()["exit_code"], ended.err
    return receipt.json()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "held"),
    WHERE,
    indirect=["place"],
    ids=[f"{held.state} on {place}" for place, held in WHERE],
)
def test_cancel_returns_the_machine_from(
    held: Held, person: Person, place: Place, request: pytest.FixtureRequest
) -> None:
    for fault in held.faults:
        request.getfixturevalue("cloud").fault(**fault)
    job = own_code(person, held.script, more=held.more, providers=place.provider)
    if held.state == "shipping":
        (person.desk / "trainer/data.bin").write_bytes(bytes(300 << 20))
    person.submits(job)
    person.waits_for_state(held.state)
    if held.cut:
        place.loses_touch(person)

    cancelled = person.types("cancel", "last", *(["--now"] if held.state == "collecting" else []))

    assert cancelled.code == 0, cancelled.err
    if held.cut:
        place.is_found_again()
    receipt = ends(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == ("cancelled", held.code)
    assert held.state in person.driver_log()
    place.has_all_back(receipt, person, machines=held.machines)


@everywhere
def test_cancel_while_running_saves_a_checkpoint_and_brings_everything_home(
    person: Person, place: Place
) -> None:
    person.submits(own_code(person, training(steps=9, waits_at=5), providers=place.provider))
    person.waits(lambda view: view["progress"].get("step") == 5)

    shown = person.types("cancel", "last", "--json")

    assert shown.code == 0
    assert "the machine goes back in the background" in shown.err
    receipt = ends(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == ("cancelled", 9)
    assert receipt["artifacts_missing"] == []
    home = Path(receipt["artifacts_dir"])
    assert (home / "stopped.txt").read_text() == "signal 15 after step 5\n"
    assert (home / "checkpoints/step-5/state.json").exists()
    place.has_all_back(receipt, person)


@pytest.mark.slow
@everywhere
def test_cancel_now_says_what_is_lost(person: Person, place: Place) -> None:
    person.submits(own_code(person, training(steps=9, waits_at=5), providers=place.provider))
    person.waits(lambda view: view["progress"].get("step") == 5)

    shown = person.types("cancel", "last", "--now", "--wait")

    assert "not brought home, so lost: " in shown.err
    assert shown.code == 8
    receipt = person.types("receipt", "last", "--json").json()
    assert (receipt["outcome"], receipt["exit_code"]) == ("cancelled", 8)
    assert receipt["artifacts_missing"] == ["everything after the last pull (cancel --now)"]
    place.has_all_back(receipt, person)


@pytest.mark.slow
def test_a_delete_that_lies_is_repeated_until_the_cancelled_machine_is_gone(
    person: Person, cloud: Cloud
) -> None:
    cloud.fault("delete_lies", times=2)
    person.submits(own_code(person, training(steps=9, waits_at=5)))
    person.waits(lambda view: view["progress"].get("step") == 5)
    person.types("cancel", "last")
    person.waits_for_state("returning")

    again = person.types("cancel", "last", "--json")

    assert again.code == 0
    assert again.json()["returned"]["proven"] is False
    assert len(cloud.living(person.home_id)) == 1
    receipt = ends(person, cloud)
    assert (receipt["outcome"], receipt["exit_code"]) == ("cancelled", 9)
    deletes = [
        one
        for one in cloud.calls("DELETE")
        if one["path"].endswith(cloud.machines(person.home_id)[0]["id"])
    ]
    assert len(deletes) == 3
    books_agree(receipt, person, cloud)
