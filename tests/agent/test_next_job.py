"""What the next job of a kept machine uses of what is there, and what it does not."""

from __future__ import annotations

import os
import signal
import zipfile
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.detach import agent_process
from tests.agent.loopback_hub import LoopbackHub
from tests.agent.work_folder import WorkFolder

SAYS = "import mine; print('it says', mine.WORD)"
PROJECT = """\
[project]
name = "mine"
version = "1.0"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["mine"]
"""
LISTS = "cd ../model; for f in $(find . -type f | sort); do echo has $f $(cat $f); done"


def write_wheel(work: WorkFolder, word: str) -> None:
    """Always under one name, as a build of one version is."""
    folder = work.path / "code/wheels"
    folder.mkdir(exist_ok=True)
    info = "mine-1.0.dist-info"
    with zipfile.ZipFile(folder / "mine-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("mine.py", f"WORD = {word!r}\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def write_folder(work: WorkFolder, word: str) -> None:
    """A project of its own beside the program: only its module changes."""
    folder = work.path / "code/own"
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(f"WORD = {word!r}\n")
    if not (folder / "pyproject.toml").exists():
        (folder / "pyproject.toml").write_text(PROJECT)


def runs(work: WorkFolder, run: str, needs: str, program: str, **fields: object) -> str:
    """The log of a job, on the machine as the one before left it."""
    if (work.path / protocol.EXIT_FILE).exists():
        work.make_room(run)
    (work.path / "code/needs.txt").write_text(needs)
    work.write_program(program, run=run, requirements="needs.txt", **fields)
    assert work.run()["exit_code"] == 0, work.log()
    return work.log()


@pytest.mark.parametrize("needs", ["wheels/mine-1.0-py3-none-any.whl", "-f wheels\nmine==1.0"])
def test_a_changed_wheel_of_ones_own_is_installed_though_its_name_is_the_same(
    work: WorkFolder, needs: str
) -> None:
    write_wheel(work, "one")
    assert "it says one" in runs(work, "first", needs, SAYS)

    assert "the environment is as this job needs it" in runs(work, "second", needs, f"{SAYS} # 2")
    write_wheel(work, "two")

    assert "it says two" in runs(work, "third", needs, SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("needs", ["./own", "-e ./own"])
def test_a_changed_project_of_ones_own_is_built_again(work: WorkFolder, needs: str) -> None:
    write_folder(work, "one")
    assert "it says one" in runs(work, "first", needs, SAYS)
    write_folder(work, "two")

    assert "it says two" in runs(work, "second", needs, SAYS)


def test_a_changed_lock_makes_the_environment_anew(work: WorkFolder) -> None:
    version = "import six; print('it is', six.__version__)"
    assert "it is 1.17.0" in runs(work, "first", "six==1.17.0\n", version)

    assert "it is 1.16.0" in runs(work, "second", "six==1.16.0\n", version)
    absent = "import importlib.util as u; print('found', u.find_spec('six'))"
    assert "found None" in runs(work, "third", "", absent)


def test_an_environment_that_failed_half_way_is_no_job_s(work: WorkFolder) -> None:
    (work.path / "code/needs.txt").write_text("six==1.17.0\nno-such-package-anywhere==1\n")
    work.write_run("true", requirements="needs.txt")
    assert work.run()["phase"] == "setup"
    work.make_room("second")
    work.write_run(["python3", "-c", "import sys; print('of', sys.prefix)"], run="second")

    assert work.run()["exit_code"] == 0

    assert f"of {work.path}" not in work.log()


def test_another_model_takes_the_place_of_the_one_before(work: WorkFolder) -> None:
    old = {"config.json": b"old", "model.safetensors": b"o" * 9, "adapter_config.json": b"old"}
    new = {"config.json": b"new", "model.safetensors": b"n" * 9}
    with LoopbackHub(old) as before, LoopbackHub(new) as after:
        work.write_run(LISTS, model=before.model())
        assert work.run()["exit_code"] == 0
        assert "has ./adapter_config.json old" in work.log()
        work.make_room("second")
        work.write_run(LISTS, run="second", model=after.model())

        assert work.run()["exit_code"] == 0

    assert [line for line in work.log().splitlines() if line.startswith("has")] == [
        "has ./config.json new",
        "has ./model.safetensors nnnnnnnnn",
    ]


def test_the_same_model_is_checked_and_not_fetched_again(work: WorkFolder) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"w" * 9000}
    spoil = "cd ../model; printf x > added.json; printf 8 | dd of=model.safetensors conv=notrunc"
    with LoopbackHub(files) as hub:
        work.write_run("true", model=hub.model())
        work.run()
        hub.seen.clear()
        work.make_room("second")
        work.write_run(spoil, run="second", model=hub.model())
        work.run()
        assert hub.fetched() == []
        work.make_room("third")
        work.write_run("true", run="third", model=hub.model())

        work.run()

    assert hub.fetched() == ["model.safetensors"]
    model = Path(work.path / protocol.MODEL_DIR)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == files


COUNTS = """\
import json, os, pathlib, signal, sys, time
saves = pathlib.Path(os.environ["GPULEASE_CHECKPOINTS"])
step = max((int(one.name[5:]) for one in saves.glob("step-*")), default=0)
print("life from", step, flush=True)
def save(*_):
    folder = saves / f"step-{step + 1}"
    folder.mkdir()
    (folder / "complete.json").write_text(json.dumps({"step": step + 1, "at": 0, "files": []}))
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
if step == 2:
    sys.exit(0)
while True:
    time.sleep(0.05)
"""


def dies(work: WorkFolder, *numbers: int) -> None:
    """The agent and all that it started end, as with their computer."""
    for number in numbers:
        os.kill(work.agent_pid(), number)
        if number == signal.SIGTERM:
            work.until((work.path / protocol.MANIFEST_FILE).exists, "its last records")
    work.until(lambda: not agent_process(work.path)[1], "its death")


def test_a_job_goes_on_after_a_restart_and_says_what_counts_no_more(work: WorkFolder) -> None:
    (work.path / "code/needs.txt").write_text("six==1.17.0\n")
    label = f"gl1-again-{os.getpid()}"
    work.write_program(COUNTS, label=label, requirements="needs.txt", grace_s=20)
    work.start()
    work.wait_for_log("life from 0")
    assert work.call("resume").returncode == 0, "it lives"
    dies(work, signal.SIGTERM, signal.SIGKILL)
    assert work.record(protocol.EXIT_FILE)["why"] == protocol.WHY_STOPPED

    assert work.call("resume").returncode == 0
    work.wait_for_log("life from 1")
    dies(work, signal.SIGKILL)  # and its program lives on
    assert work.call("resume").returncode == 0
    work.until(lambda: len(work.events("exited")) == 2, "the end")

    assert work.log().count("life from 2") == 1
    assert work.log().count("the environment is as this job needs it") == 2
    assert work.record(protocol.EXIT_FILE)["why"] == protocol.WHY_FINISHED
    assert len(work.events("resumed")) == 2


def test_a_job_that_is_ended_again_and_again_does_not_go_on_for_ever(work: WorkFolder) -> None:
    work.write_run("sleep 60", label=f"gl1-often-{os.getpid()}", grace_s=0)
    work.start()
    answers = []
    for _ in range(9):
        os.kill(work.agent_pid(), signal.SIGKILL)
        work.until(lambda: not agent_process(work.path)[1], "its death")
        answers.append(work.call("resume").returncode)

    assert answers == [0] * 8 + [3]
    assert work.call("conclude").returncode == 0
