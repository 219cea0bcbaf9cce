"""The program trains real models: to the end, through a stop, and through a kill."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.simcloud.hub_models import minilm_folder
from orchestrator.spec.job import FinetuneJob
from orchestrator.spec.load import load_job
from orchestrator.spec.packaged import packaged
from orchestrator.spec.programs import Program
from tests.jobs.machine import Machine, until

pytestmark = [pytest.mark.training, pytest.mark.timeout(300)]

QUICKSTART = packaged("jobs") / "quickstart"
STEPS = 150
STEPS_OF_EPOCH = 30
SHORT = {"max_steps": STEPS, "max_length": 32}


def settings_of(job: FinetuneJob, **train: int) -> dict[str, object]:
    return {
        "task": job.task,
        "method": job.method,
        "model": str(job.model),
        "train": {**job.train.to_settings(), **train},
        "data": {"train": "data/tickets.train.jsonl", "eval": "data/tickets.eval.jsonl"},
    }


@pytest.fixture(scope="module")
def quickstart_job() -> FinetuneJob:
    return load_job(QUICKSTART / "job.yaml")


@pytest.fixture(scope="module")
def make_machine(
    tmp_path_factory: pytest.TempPathFactory, program: Program, program_python: Path
) -> Callable[[Path, dict[str, object]], Machine]:
    def make(model: Path, settings: dict[str, object]) -> Machine:
        folder = tmp_path_factory.mktemp("machine")
        shutil.copytree(QUICKSTART / "data", folder / "data")
        return Machine(folder, program, program_python, model, settings)

    return make


def assert_complete(checkpoint: Path) -> None:
    record = json.loads((checkpoint / "complete.json").read_text())
    assert checkpoint.name == f"step-{record['step']}"
    listed = {file["path"]: file for file in record["files"]}
    there = {str(p.relative_to(checkpoint)) for p in checkpoint.rglob("*") if p.is_file()}
    assert listed.keys() == there - {"complete.json"}
    for name, file in listed.items():
        content = (checkpoint / name).read_bytes()
        assert file["size_bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()


# The quickstart, as it is shipped.


@pytest.fixture(scope="module")
def quickstart(
    make_machine: Callable[[Path, dict[str, object]], Machine], quickstart_job: FinetuneJob
) -> Machine:
    machine = make_machine(minilm_folder(), settings_of(quickstart_job))
    process = machine.start(checkpoint_every_s=900, usd_per_hour=0.69)
    assert process.wait(timeout=280) == 0, machine.log
    return machine


def test_the_quickstart_learns_far_more_than_the_majority_class(quickstart: Machine) -> None:
    metrics = quickstart.metrics

    assert metrics["majority_class_accuracy"] == pytest.approx(0.35)
    assert metrics["eval_accuracy"] >= 0.85
    assert metrics["eval_accuracy"] >= metrics["majority_class_accuracy"] + 0.3
    assert metrics["eval_f1"] >= 0.75
    assert metrics["eval_loss"] < 0.6
    assert metrics["train_loss"] < 1.0
    assert (metrics["steps"], metrics["samples"]) == (90, 3 * 480)
    assert {"device": "cpu", "dtype": "float32"}.items() <= metrics.items()


def test_progress_events_tell_step_loss_speed_and_time_left(quickstart: Machine) -> None:
    steps = [event for event in quickstart.events if "loss" in event]
    evaluations = [event for event in quickstart.events if "metrics" in event]

    assert {event["event"] for event in quickstart.events} == {"progress"}
    assert [event["step"] for event in steps] == sorted(
        event["step"] for event in steps if isinstance(event["step"], int)
    )
    assert (steps[-1]["step"], steps[-1]["steps"], steps[-1]["eta_s"]) == (90, 90, 0.0)
    wanted = {"at", "epoch", "learning_rate", "loss", "samples_per_s", "eta_s"}
    assert all(wanted <= event.keys() for event in steps)
    assert [event["step"] for event in evaluations] == [30, 60, 90]


def test_the_model_folder_has_all_that_is_needed_to_use_it(quickstart: Machine) -> None:
    model = quickstart.folder / "output" / "model"
    config = json.loads((model / "config.json").read_text())

    assert config["id2label"]["0"] == "billing"
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in model.iterdir()
    }
    assert not list(quickstart.folder.glob("output/.*"))


def test_the_model_card_says_data_settings_and_figures(quickstart: Machine) -> None:
    card = (quickstart.folder / "output" / "model" / "README.md").read_text()

    assert "base_model: sentence-transformers/all-MiniLM-L6-v2\n" in card
    assert "| majority_class_accuracy | 0.35 |" in card
    assert "| learning_rate | 0.0002 |" in card
    assert "| billing | 168 | 42 |" in card
    assert "Cost: $0.2" in card and "at $0.69 an hour" in card
    assert str(quickstart.folder) not in card


def test_the_log_is_lines_for_people(quickstart: Machine) -> None:
    assert "480 training rows, 120 eval rows, 5 labels\n" in quickstart.log
    assert "step 90/90" in quickstart.log
    assert "\r" not in quickstart.log and "Traceback" not in quickstart.log
    history = (quickstart.folder / "output" / "training_log.jsonl").read_text().splitlines()
    assert any("eval_loss" in json.loads(line) for line in history)


# A tiny model: run once without interruption by hand, once stopped and killed.


@dataclass(frozen=True)
class Interrupted:
    machine: Machine
    stopped_code: int
    stopped_at: Path  # the checkpoint that SIGTERM left
    killed_after: str  # the newest complete checkpoint when SIGKILL came
    finished_code: int


@pytest.fixture(scope="module")
def uninterrupted(
    program: Program,
    program_python: Path,
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
    quickstart_job: FinetuneJob,
) -> Path:
    """By hand with flags, on the same rows as CSV with columns of other names."""
    folder = tmp_path_factory.mktemp("by-hand")
    for name in ("train", "eval"):
        lines = (QUICKSTART / "data" / f"tickets.{name}.jsonl").read_text().splitlines()
        with (folder / f"{name}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["Ticket", "Kind"])
            writer.writerows((row["text"], row["label"]) for row in map(json.loads, lines))
    flags: list[str] = [
        "--model",
        str(tiny_model),
        "--train",
        "train.csv",
        "--eval",
        "eval.csv",
        "--output",
        "out",
    ]
    flags += ["--text-column", "Ticket", "--label-column", "Kind", "--device", "cpu"]
    for name, value in {**quickstart_job.train.to_settings(), **SHORT}.items():
        flags += ["--set", f"{name}={value}"]
    subprocess.run(
        [program_python, program.folder / "train.py", *flags],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    return folder / "out"


@pytest.fixture(scope="module")
def interrupted(
    make_machine: Callable[[Path, dict[str, object]], Machine],
    tiny_model: Path,
    quickstart_job: FinetuneJob,
) -> Interrupted:
    machine = make_machine(tiny_model, settings_of(quickstart_job, **SHORT))

    process = machine.start(checkpoint_every_s=900)
    until(lambda: len(machine.events) >= 2, process)
    process.send_signal(signal.SIGTERM)
    stopped_code = process.wait(timeout=60)
    (stopped_at,) = machine.checkpoints()
    assert_complete(stopped_at)
    kept = machine.folder / "kept"
    shutil.copytree(stopped_at, kept / stopped_at.name)

    # Between an epoch's last step and its evaluation, which is then not made up for.
    epoch_end = (int(stopped_at.name[5:]) // STEPS_OF_EPOCH + 1) * STEPS_OF_EPOCH
    newest = stopped_at.with_name(f"step-{epoch_end}")
    process = machine.start(checkpoint_every_s=0)
    until((newest / "complete.json").exists, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    for later in machine.checkpoints():
        if later not in (stopped_at, newest) and int(later.name[5:]) > epoch_end:
            shutil.rmtree(later)
    plant_bad_checkpoints(newest)

    finished_code = machine.start(checkpoint_every_s=900).wait(timeout=120)
    return Interrupted(
        machine,
        stopped_code,
        kept / stopped_at.name,
        newest.name,
        finished_code,
    )


def plant_bad_checkpoints(good: Path) -> None:
    """Newer ones: never completed, torn after completion, of another run."""
    torn, unfinished, other = (good.with_name(f"step-{n}") for n in (390, 391, 392))
    for copy in (torn, unfinished, other):
        shutil.copytree(good, copy)
    (torn / "optimizer.pt").write_bytes(b"half")
    (unfinished / "complete.json").unlink()
    run = json.dumps({"fingerprint": "another"}).encode()
    (other / "run.json").write_bytes(run)
    record = json.loads((other / "complete.json").read_text())
    for file in record["files"]:
        if file["path"] == "run.json":
            file.update(size_bytes=len(run), sha256=hashlib.sha256(run).hexdigest())
    (other / "complete.json").write_text(json.dumps(record))


def test_sigterm_leaves_a_complete_checkpoint_and_exits_143(interrupted: Interrupted) -> None:
    assert interrupted.stopped_code == 143
    assert_complete(interrupted.stopped_at)
    assert 0 < int(interrupted.stopped_at.name[5:]) < STEPS


def test_a_stopped_run_goes_on_from_its_checkpoint(interrupted: Interrupted) -> None:
    assert f"resuming from {interrupted.stopped_at.name}\n" in interrupted.machine.log


def test_a_killed_run_goes_on_from_the_last_complete_checkpoint(interrupted: Interrupted) -> None:
    log = interrupted.machine.log

    assert interrupted.finished_code == 0
    assert f"resuming from {interrupted.killed_after}\n" in log
    assert "step-390 is not used: optimizer.pt is not what was written\n" in log
    assert "step-391 is not used: complete.json is missing\n" in log
    assert "step-392 is not used: it was made with other settings or data\n" in log


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    interrupted: Interrupted, uninterrupted: Path
) -> None:
    expected = json.loads((uninterrupted / "metrics.json").read_text())
    metrics = interrupted.machine.metrics

    assert metrics["steps"] == expected["steps"] == STEPS
    assert metrics["eval_loss"] == expected["eval_loss"]
    assert metrics["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
    assert metrics == {**expected, "train_loss": metrics["train_loss"]}


def test_the_weights_of_both_are_equal_to_the_last_bit(
    interrupted: Interrupted, uninterrupted: Path
) -> None:
    ours = interrupted.machine.folder / "output" / "model" / "model.safetensors"
    assert ours.read_bytes() == (uninterrupted / "model" / "model.safetensors").read_bytes()


def test_only_the_two_newest_checkpoints_are_kept(interrupted: Interrupted) -> None:
    names = {path.name for path in interrupted.machine.checkpoints()}
    assert len(names) <= 2
    assert not (interrupted.machine.folder / "checkpoints" / ".writing").exists()


def test_doctests_of_the_program(program: Program, program_python: Path) -> None:
    (shared,) = program.shares
    for file in (program.folder / "figures.py", program.folder / "rows.py", shared / "figures.py"):
        subprocess.run(
            [program_python, "-B", "-m", "doctest", file],
            cwd=program.folder,
            env={**os.environ, "PYTHONPATH": str(shared.parent)},
            check=True,
        )
