"""The shipped programs are whole, and their two locks agree."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec.job import TASKS
from orchestrator.spec.programs import Program, known_tasks, load_program

_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s+]+)(?P<local>\+\w+)?", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return {match["name"]: match["version"] for match in _PIN.finditer(path.read_text())}


@pytest.fixture(params=known_tasks())
def program(request: pytest.FixtureRequest) -> Program:
    return load_program(str(request.param))


def test_every_task_of_a_job_has_its_program() -> None:
    assert sorted(known_tasks()) == sorted(TASKS.words)


def test_every_file_that_a_program_names_is_in_its_folder(program: Program) -> None:
    assert program.command[:2] == ("python", "train.py")
    assert (program.folder / program.command[1]).is_file()
    assert all((program.folder / lock).is_file() for lock in program.requirements.values())
    assert program.task == program.folder.name
    assert [folder.name for folder in program.shares] == ["training"]
    assert all((folder / "__init__.py").is_file() for folder in program.shares)


def test_both_locks_pin_the_same_versions(program: Program) -> None:
    cpu, cuda = (pins(program.folder / program.requirements[kind]) for kind in ("cpu", "cuda"))

    assert cpu.items() <= cuda.items()
    only_cuda = cuda.keys() - cpu.keys()
    assert all(name.startswith(("nvidia-", "cuda-")) or name == "triton" for name in only_cuda)


def test_the_cuda_that_a_host_needs_is_that_of_the_locked_torch(program: Program) -> None:
    cuda = pins(program.folder / program.requirements["cuda"])

    assert cuda["cuda-toolkit"].split(".")[:2] == program.cuda.split(".")


def test_the_cpu_lock_takes_the_cpu_build_of_torch(program: Program) -> None:
    assert "\ntorch==2.13.0+cpu\n" in (program.folder / program.requirements["cpu"]).read_text()


def test_locks_name_no_place_of_the_computer_that_made_them(program: Program) -> None:
    for lock in program.requirements.values():
        text = (program.folder / lock).read_text()
        assert "://" not in text
        assert "--find-links" not in text and "--index" not in text


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        load_program("../text-classification")
    assert "text-classification" in caught.value.hint


def test_a_program_cannot_be_changed(program: Program) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(program, fields(program)[0].name, "other")
