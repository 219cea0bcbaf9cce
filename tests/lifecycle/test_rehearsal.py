from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.clock import SystemClock
from orchestrator.lifecycle.plan import Material
from orchestrator.lifecycle.rehearsal import Room, Stage, measure_room, rehearse
from orchestrator.runs.run import Launch
from orchestrator.sizing.fit import Training, footprint
from orchestrator.sizing.shape import Shape
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need
from tests.lifecycle.jobs import own_code, tickets
from tests.runs.samples import launch

MINILM = Shape(384, 6, 1536, 30522, 384, 512)
PLENTY = Room(ram_bytes=2**40, disk_bytes=2**40)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def stage(tmp_path: Path, told: list[str]) -> Stage:
    folder = tmp_path / "home/cache/rehearsal"
    return Stage(folder, SystemClock(), told.append, lambda _: None, lambda _: PLENTY)


def own(job: Job, requirements: str = "") -> Material:
    """Material of own code, with the requirements that its folder has."""
    locks = {"cpu": requirements, "cuda": requirements} if requirements else {}
    made: Launch = replace(launch(), program="", requirements=locks)
    return Material(job, made, Need(), None)


def sized(job: Job) -> Material:
    training = Training(6, 6, 20, epochs=3, batch=16, max_length=256)
    need = footprint(training, parameters=22_713_216, shape=MINILM, download_bytes=91_000_000)
    locks = {"cpu": "requirements.cpu.txt"}
    made = replace(launch(), program="text-classification", requirements=locks)
    return Material(job, made, Need(), need)


def in_folder(folder: Path) -> list[int]:
    """Processes that work below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_own_code_is_read_but_never_run(tmp_path: Path, stage: Stage) -> None:
    job = own_code(tmp_path, f"setup: touch {tmp_path}/ran\n")
    (tmp_path / "own/train.py").write_text(f"open('{tmp_path}/ran', 'w')\n")

    findings = rehearse(own(job), stage)

    assert findings == [
        ("code", True, "train.py: valid Python 3.11", ""),
        ("first batch", None, "not run: what the command does is its own", ""),
    ]
    assert not (tmp_path / "ran").exists()
    assert {path.name for path in stage.folder.iterdir()} <= {"lock", "log.txt"}
    assert in_folder(stage.folder) == []


def test_own_code_that_is_no_python_is_told_with_its_line(tmp_path: Path, stage: Stage) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/train.py").write_text("x = 1\nprint(x\n")

    ((what, ok, found, fix), _) = rehearse(own(job), stage)

    assert (what, ok) == ("code", False)
    assert found.startswith("train.py:2: SyntaxError: ")
    assert fix == f"all that was said: {stage.folder / 'log.txt'}"
    assert "SyntaxError" in (stage.folder / "log.txt").read_text()


def test_requirements_that_nobody_can_install_are_told(tmp_path: Path, stage: Stage) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/requirements.txt").write_text("six<1\nsix>1\n")

    ((what, ok, found, _), *_) = rehearse(own(job, "requirements.txt"), stage)

    assert (what, ok) == ("environment", False)
    assert found.startswith("requirements.txt could not be installed: ") and "six>1" in found


def test_a_model_that_is_too_large_for_this_computer_is_refused(
    tmp_path: Path, stage: Stage, told: list[str]
) -> None:
    material = sized(tickets(tmp_path))

    short_of_memory = replace(stage, room=lambda _: Room(2**30, 2**40))
    ((what, ok, found, fix),) = rehearse(material, short_of_memory)
    assert (what, ok) == ("rehearsal", False)
    assert found.endswith("1.0 GiB are free: this model cannot be tried here")
    assert "without --full" in fix

    short_of_disk = replace(stage, room=lambda _: Room(2**40, 2**30))
    ((what, ok, found, _),) = rehearse(material, short_of_disk)
    assert (what, ok) == ("rehearsal", False)
    assert "GiB of disk, and 1.0 GiB are free" in found
    assert told == []


def test_only_one_rehearsal_of_a_home_at_a_time(tmp_path: Path, stage: Stage) -> None:
    stage.folder.mkdir(parents=True)
    with (stage.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert rehearse(own(own_code(tmp_path)), stage) == [
            (
                "rehearsal",
                False,
                "another `check --full` of this home is at work",
                "wait for its end",
            )
        ]


def test_it_does_not_go_on_for_ever(tmp_path: Path, stage: Stage) -> None:
    findings = rehearse(own(own_code(tmp_path)), replace(stage, limit_s=0))

    assert findings[0][1] is False and findings[0][2].endswith("not done after 0 minutes")
    assert in_folder(stage.folder) == []


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path, stage: Stage) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/requirements.txt").write_text("six\n")

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(own(job, "requirements.txt"), replace(stage, tell=interrupted))

    assert in_folder(stage.folder) == []
    assert not (stage.folder / "agent.pyz").exists() and not (stage.folder / "code").exists()


def test_what_a_killed_check_left_is_ended_by_the_next(tmp_path: Path, stage: Stage) -> None:
    job = own_code(tmp_path)
    folder = stage.folder
    folder.mkdir(parents=True)
    (folder / "agent.pyz").write_text("import sys\nopen('asked', 'w').write(sys.argv[1])\n")
    (folder / "secrets.json").write_text("{}")
    (folder / "kept.json").write_text(json.dumps({"environment": "of another lock"}))
    (folder / "venv").mkdir()

    findings = rehearse(own(job), stage)

    assert findings[0][1] is True
    assert not (folder / "secrets.json").exists() and not (folder / "asked").exists()


def test_room_is_what_this_computer_has(tmp_path: Path) -> None:
    room = measure_room(tmp_path)
    assert room.ram_bytes > 2**20 and room.disk_bytes > 2**20
