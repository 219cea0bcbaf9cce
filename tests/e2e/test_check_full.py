"""The first batch of a job on this computer, in the program's own venv; nothing is rented."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from infra.simcloud.hub_llama import tiny_llama
from orchestrator.spec.packaged import packaged
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person
from tests.e2e.test_causal_lm import JOB

pytestmark = [pytest.mark.slow, pytest.mark.training, pytest.mark.timeout(900)]


@pytest.fixture
def job(person: Person) -> str:
    tiny_llama()
    data = packaged("jobs") / "ticket-router" / "data"
    for split, rows in (("train", 12), ("eval", 6)):
        lines = (data / f"router.{split}.jsonl").read_text().splitlines(keepends=True)[:rows]
        person.writes(f"{split}.jsonl", "".join(lines))
    return person.writes("router.yaml", JOB).name


def processes_below(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_the_first_batch_is_trained_here_and_what_would_fail_fails_here(
    person: Person, cloud: Cloud, job: str
) -> None:
    before = len(cloud.machines())

    good = person.types("check", job, "--full", "--json", limit_s=600)
    assert good.code == 0, good.out + good.err
    told = {one["what"]: one for one in good.json()["checks"]}
    assert told["environment"]["finding"].startswith("made from requirements.cpu.txt, ")
    assert told["first batch"]["ok"] is True
    assert "one step, train loss " in told["first batch"]["finding"]
    assert "environment: installing" in good.err and "first batch: training" in good.err

    wrong = ("--set", "train.lora_target_modules=[no_such_layer]")
    bad = person.types("check", job, "--full", "--json", *wrong, limit_s=600)
    assert bad.code == 2, bad.out + bad.err
    told = {one["what"]: one for one in bad.json()["checks"]}
    assert told["environment"]["finding"].endswith(", by an earlier check")
    assert told["first batch"]["ok"] is False
    assert "no_such_layer" in told["first batch"]["finding"]
    log = Path(told["first batch"]["fix"].rpartition(": ")[2])
    assert "no_such_layer" in log.read_text()
    assert len(cloud.machines()) == before and processes_below(person.home) == []


def test_ctrl_c_ends_the_program_too(person: Person, job: str) -> None:
    with person.starts("check", job, "--full") as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("first batch:"):
                break
        os.kill(process.pid, signal.SIGINT)
        ended = person.ends(process, limit_s=60)

    assert ended.code == 130, said + ended.err
    assert processes_below(person.home) == []
    assert not (person.home / "cache/rehearsal/code").exists()
