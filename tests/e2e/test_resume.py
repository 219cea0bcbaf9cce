"""What was killed or lost in mid-work goes on from its last checkpoint, and ends no different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.hub_models import TINY_ID
from orchestrator.spec.packaged import packaged
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.kills import CHECKPOINTS, killing, losses
from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation

STEPS = 60
CLASSIFIER = f"""\
kind: finetune
model: {TINY_ID}
task: text-classification
data: {{train: train.jsonl, eval: eval.jsonl}}
train: {{max_steps: {STEPS}, max_length: 64, learning_rate: 0.002, logging_steps: 1}}
gpu: {{allow_cpu: true}}
budget: {{max_cost: 1.00, max_duration: 30m}}
providers: [runpod]
{CHECKPOINTS}"""


def waits_for_step(person: Person, step: int, machines: int = 1) -> dict[str, Any]:
    """The run once the program on its newest machine says that it is there."""
    return person.waits(
        lambda view: len(view["machines"]) == machines and view["progress"].get("step", 0) >= step
    )


def on_the_machine(person: Person, command: str) -> None:
    """Log in to the run's machine as its owner does."""
    ended = person.types("ssh", "last", "--", command, limit_s=180)
    assert ended.code == 0, ended.err


def says_go(person: Person) -> None:
    """The training that waits on the newest machine goes on."""
    label = person.view()["machines"][-1]["label"]
    on_the_machine(person, f"touch gpulease/{label}/code/go")


def receipt_of(person: Person, cloud: Cloud) -> dict[str, Any]:
    """The receipt of a run that succeeded; the proofs of return are not waited for."""
    person.waits_for_state("returning")
    with cloud.hurrying():
        ended = person.types("attach", "last")
    assert ended.code == 0, ended.err + person.driver_log()
    return person.view()


def log_of(receipt: dict[str, Any]) -> list[str]:
    return Path(receipt["log"]).read_text().splitlines()


def test_a_killed_program_goes_on_from_its_last_checkpoint_on_the_same_machine(
    person: Person, cloud: Cloud
) -> None:
    person.submits(own_code(person, training(steps=7, saves_every=2, waits_at=5), more=CHECKPOINTS))
    waits_for_step(person, 5)

    on_the_machine(person, "pkill -KILL -f '[t]rain.py'")
    told = "the program was killed by SIGKILL, and went on from its checkpoint at step 4"
    person.waits(lambda view: told in view["notes"])
    says_go(person)

    receipt = receipt_of(person, cloud)
    home = Path(receipt["artifacts_dir"])
    trained = json.loads((home / "trained.json").read_text())
    assert trained == {"steps": [1, 2, 3, 4, 5, 6, 7], "lives": 2}
    assert (receipt["outcome"], receipt["metrics"]) == ("succeeded", {"steps": 7.0})
    assert log_of(receipt) == [
        *(f"step {step}" for step in (1, 2, 3, 4, 5)),
        "[gpulease: killed by SIGKILL; started again from checkpoints/step-4]",
        *(f"step {step}" for step in (5, 6, 7)),
    ]
    saved = json.loads((home / "checkpoints/step-6/state.json").read_text())
    assert (saved["steps"][-1], saved["lives"]) == (6, 2)
    assert told in person.types("receipt", "last").out
    books_agree(receipt, person, cloud)


@pytest.mark.slow
def test_a_lost_machine_is_replaced_by_one_that_goes_on_from_the_checkpoint_at_home(
    person: Person, cloud: Cloud
) -> None:
    script = training(steps=7, saves_every=2, waits_at=5)
    run_id = person.submits(own_code(person, script, more=CHECKPOINTS))
    waits_for_step(person, 5)
    at_home = person.home / "runs" / run_id / "checkpoints"
    with cloud.hurrying():  # the next pull is due in some seconds
        person.waits(lambda _: (at_home / "step-4/complete.json").exists())
    (lost,) = cloud.living(person.home_id)

    cloud.machine_fault(lost["id"], "host_lost")
    with cloud.hurrying():
        person.waits(lambda view: len(view["machines"]) == 2)
    waits_for_step(person, 5, machines=2)
    says_go(person)

    receipt = receipt_of(person, cloud)
    home = Path(receipt["artifacts_dir"])
    trained = json.loads((home / "trained.json").read_text())
    assert trained == {"steps": [1, 2, 3, 4, 5, 6, 7], "lives": 2}
    assert (receipt["outcome"], receipt["metrics"]) == ("succeeded", {"steps": 7.0})
    assert receipt["artifacts_missing"] == []
    told = (
        f"{lost['id']} was lost; the job goes on from its checkpoint at step 4 on another machine"
    )
    assert told in receipt["notes"]
    assert log_of(receipt) == [
        *(f"step {step}" for step in (1, 2, 3, 4, 5)),
        "",
        f"[gpulease: {told}]",
        *(f"step {step}" for step in (5, 6, 7)),
    ]
    first, second = books_agree(receipt, person, cloud, ended_by=["provider", "api"])
    assert first["offer"] == second["offer"]
    page = person.types("receipt", "last").out
    assert told in page
    assert first["id"] in page and second["id"] in page


def classifier(person: Person, name: str) -> str:
    """A job with a part of the quickstart's data, on the desk."""
    for split, rows in (("train", 96), ("eval", 40)):
        data = packaged("jobs") / f"quickstart/data/tickets.{split}.jsonl"
        person.writes(f"{split}.jsonl", "".join(data.read_text().splitlines(keepends=True)[:rows]))
    return person.writes(f"{name}.yaml", f"name: {name}\n{CLASSIFIER}").name


def same_training(receipt: dict[str, Any], expected: dict[str, Any], step: int) -> None:
    """Compare with an uninterrupted one; `step`: from which it went on."""
    assert 2 < step < STEPS
    assert f"resuming from step-{step}\n" in Path(receipt["log"]).read_text()
    assert len(losses(receipt)) == STEPS
    assert losses(receipt) == losses(expected)
    metrics = receipt["metrics"]
    assert metrics["train_loss"] == pytest.approx(expected["metrics"]["train_loss"], rel=1e-5)
    assert metrics == {**expected["metrics"], "train_loss": metrics["train_loss"]}


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(600)
def test_a_training_that_is_killed_or_loses_its_machine_ends_as_an_uninterrupted_one_does(
    person: Person, cloud: Cloud
) -> None:
    whole = person.types("submit", classifier(person, "whole"), "--yes", "--json", limit_s=180)
    assert whole.code == 0, whole.err + person.driver_log()

    person.submits(classifier(person, "killed"))
    person.waits_for_state("setting_up", limit_s=180)
    on_the_machine(person, killing(person.view()["machines"][0]["label"]))
    killed = receipt_of(person, cloud)
    step = step_of(killed, "was killed by SIGKILL, and went on from its checkpoint at step ")
    same_training(killed, whole.json(), step)

    run_id = person.submits(classifier(person, "lost"))
    person.waits_for_state("setting_up", limit_s=180)
    on_the_machine(person, killing(person.view()["machines"][0]["label"], "STOP"))
    at_home = person.home / "runs" / run_id / "checkpoints"
    with cloud.hurrying():
        person.waits(lambda _: list(at_home.glob("step-*/complete.json")))
    (machine,) = cloud.living(person.home_id)
    cloud.machine_fault(machine["id"], "host_lost")
    with cloud.hurrying():
        person.waits(lambda view: len(view["machines"]) == 2)
    lost = receipt_of(person, cloud)
    step = step_of(lost, "was lost; the job goes on from its checkpoint at step ")
    same_training(lost, whole.json(), step)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(600)
def test_on_a_workstation_a_killed_training_ends_as_an_uninterrupted_one_does(
    person: Person, training_tower: Workstation
) -> None:
    person.config.write_text(training_tower.config())
    untouched = training_tower.listing()
    on = ("--provider", "ssh_host", "--yes", "--json")
    whole = person.types("submit", classifier(person, "whole"), *on, limit_s=180)
    assert whole.code == 0, whole.err + person.driver_log()

    person.submits(classifier(person, "killed"), "--provider", "ssh_host")
    person.waits_for_state("setting_up", limit_s=180)
    on_the_machine(person, killing(person.view()["machines"][0]["label"]))
    ended = person.types("attach", "last", limit_s=180)

    assert ended.code == 0, ended.err + person.driver_log()
    killed = person.view()
    step = step_of(killed, "was killed by SIGKILL, and went on from its checkpoint at step ")
    same_training(killed, whole.json(), step)
    assert killed["provider"] == "ssh_host:tower"
    assert killed["returned"]["proven"] is True
    assert training_tower.listing() == untouched


def step_of(receipt: dict[str, Any], told: str) -> int:
    """The step that a note of the receipt names behind these words."""
    (note,) = (note for note in receipt["notes"] if told in note)
    return int(note.partition(told)[2].split()[0])
