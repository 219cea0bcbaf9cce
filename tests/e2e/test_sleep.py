"""A laptop that sleeps for 8 h: its machine ends itself, and awake it rents nothing that is old."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud, deadline_s_of
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code, training
from tests.e2e.person import Person, waits_until
from tests.e2e.places import Place, everywhere
from tests.e2e.test_cancel import BIG, create
from tests.providers.ssh_host.workstation import Workstation

NIGHT_S = 8 * 3600.0
TIRED = "import time; time.sleep(900)"
BRIEFLY = "artifacts: {hold: 5m}\n"


@dataclass(frozen=True, slots=True)
class Asleep:
    """In which state a laptop falls asleep, how it is held there, and what it finds awake."""

    state: str
    faults: tuple[dict[str, Any], ...] = ()
    script: str = TIRED
    more: str = BRIEFLY
    ended_by: tuple[str, ...] = ("self",)
    outcome: str = "expired"
    code: int = 5
    seen: bool = True  # by this home, before the machine ended itself


ASLEEP = {
    "planned": Asleep("planned", (create("rate_limit", seconds=600),), ended_by=()),
    "renting": Asleep("renting", (create("timeout_after", seconds=8),), seen=False),
    "looking": Asleep(
        "looking", ({"fault": "list_lag_s", "seconds": 60}, create("reply_lost")), seen=False
    ),
    "booting": Asleep("booting", ({"fault": "ssh_late", "seconds": 600},)),
    "shipping": Asleep("shipping", code=8),  # its agent may have been started
    "setting_up": Asleep("setting_up", more=BRIEFLY + "setup: sleep 900\n", code=8),
    "collecting": Asleep("collecting", script=BIG, outcome="succeeded", code=8),
    "returning": Asleep(
        "returning",
        ({"fault": "delete_lies", "times": 2},),
        script=WRITES_A_RESULT,
        outcome="succeeded",
        code=0,
    ),
}


def sleeps(person: Person, cloud: Cloud, *, step_s: float = 60.0) -> None:
    """8 h go by; what the machine does meanwhile it does alone.

    Its guard looks every few real seconds: where its minute counts, `step_s` must be small.
    """
    person.puts_to_sleep()
    morning_s = cloud.now_s() + NIGHT_S
    for machine in cloud.living(person.home_id):
        cloud.waits_for(machine["id"], ended_by="self", step_s=step_s)
    cloud.advance(morning_s - cloud.now_s())
    person.wakes_up()


def receipt_of(person: Person, place: Cloud | Place) -> dict[str, Any]:
    with place.hurrying():
        ended = person.types("attach", "last")
    receipt = person.types("receipt", "last", "--json")
    assert ended.code == receipt.code == receipt.json()["exit_code"], ended.err
    return receipt.json()


def counts_what_it_never_saw(receipt: dict[str, Any], person: Person, cloud: Cloud) -> None:
    """The machine that may have lived is in the ledger, with the most that it can have cost."""
    (machine,) = cloud.machines(person.home_id)
    assert machine["ended_by"] == "self"
    assert machine["label"] in "\n".join(receipt["notes"])
    upper_usd = Decimal(receipt["spent_upper_usd"])
    assert Decimal(machine["billed_usd"]) <= upper_usd <= Decimal(receipt["cap_usd"])
    month = person.types("ps", "--json").json()["month"]
    assert (Decimal(month["committed_usd"]), Decimal(month["spent_usd"])) == (
        Decimal(0),
        upper_usd,
    )


@pytest.mark.slow
@pytest.mark.parametrize("asleep", ASLEEP.values(), ids=ASLEEP)
def test_a_night_asleep_while(asleep: Asleep, person: Person, cloud: Cloud) -> None:
    for fault in asleep.faults:
        cloud.fault(**fault)
    job = own_code(person, asleep.script, more=asleep.more)
    if asleep.state == "shipping":
        (person.desk / "trainer/data.bin").write_bytes(bytes(300 << 20))
    person.submits(job)
    person.waits_for_state(asleep.state)
    if asleep.ended_by:
        cloud.waits_for_a_machine(person.home_id)

    sleeps(person, cloud, step_s=60.0 if asleep.seen else 15.0)

    receipt = receipt_of(person, cloud)
    assert (receipt["outcome"], receipt["exit_code"]) == (asleep.outcome, asleep.code)
    if asleep.seen:
        books_agree(receipt, person, cloud, ended_by=asleep.ended_by)
    else:
        counts_what_it_never_saw(receipt, person, cloud)


@pytest.mark.slow
def test_a_night_asleep_in_mid_training_keeps_what_was_home_and_names_what_was_lost(
    person: Person, cloud: Cloud
) -> None:
    more = BRIEFLY + "checkpoints: {every: 10s}\n"
    run = person.submits(own_code(person, training(steps=9, waits_at=5), more=more))
    saved = person.home / "runs" / run / "checkpoints/step-4/complete.json"
    person.waits(lambda _: saved.exists())

    sleeps(person, cloud)

    receipt = receipt_of(person, cloud)
    assert (receipt["outcome"], receipt["exit_code"]) == ("expired", 8)
    assert receipt["artifacts_missing"] == ["everything after the last pull: the machine is gone"]
    said = " ".join(person.types("receipt", "last").out.split())
    assert receipt["artifacts_missing"][0] in said
    assert saved.exists()
    assert "step 3\n" in Path(receipt["log"]).read_text()
    books_agree(receipt, person, cloud, ended_by=["self"])


@pytest.mark.slow
def test_a_program_that_ends_in_the_night_has_its_machine_end_itself_after_the_hold(
    person: Person, cloud: Cloud
) -> None:
    run = person.submits(own_code(person, WAITS + WRITES_A_RESULT, more=BRIEFLY))
    person.waits_for_state("running")
    (machine,) = cloud.living(person.home_id)
    person.puts_to_sleep()
    ends_s = cloud.now_s() + 300.0
    cloud.says_go(run)

    ended = cloud.waits_for(machine["id"], ended_by="self", step_s=5.0)
    cloud.advance(NIGHT_S)
    person.wakes_up()

    deadline_s = deadline_s_of(machine)
    assert ends_s <= ended["ended_at"] < min(ends_s + 300.0, deadline_s - 300.0)
    receipt = receipt_of(person, cloud)
    assert receipt["exit_code"] == 8
    assert receipt["artifacts_missing"] == ["everything after the last pull: the machine is gone"]
    books_agree(receipt, person, cloud, ended_by=["self"])


@pytest.mark.slow
@everywhere
def test_awake_within_the_hold_everything_comes_home(person: Person, place: Place) -> None:
    run = person.submits(own_code(person, WAITS + WRITES_A_RESULT, providers=place.provider))
    person.waits_for_state("running")

    person.puts_to_sleep()
    place.says_go(run)
    place.advance(1200)
    person.wakes_up()

    receipt = receipt_of(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == ("succeeded", 0)
    assert receipt["artifacts_missing"] == []
    place.has_all_back(receipt, person)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ssh_host"], indirect=True)
def test_what_a_workstation_saved_at_its_deadline_is_there_in_the_morning(
    person: Person, place: Place, tower: Workstation
) -> None:
    script = training(steps=9, waits_at=5)
    person.submits(own_code(person, script, more=BRIEFLY, providers=place.provider))
    person.waits(lambda view: view["progress"].get("step") == 5)
    (label,) = place.machines(person)
    folder = tower.home / "gpulease" / label

    person.puts_to_sleep()
    place.advance(1800.0)  # the time for work is over
    waits_until((folder / "manifest.json").exists)
    place.advance(NIGHT_S)
    waits_until(lambda: '"event":"ending"' in (folder / "events.jsonl").read_text())
    person.wakes_up()

    receipt = receipt_of(person, place)
    assert (receipt["outcome"], receipt["exit_code"]) == ("expired", 5)
    assert receipt["artifacts_missing"] == []
    home = Path(receipt["artifacts_dir"])
    assert (home / "stopped.txt").read_text() == "signal 15 after step 5\n"
    place.has_all_back(receipt, person)
