"""The programs of `jobs/`: what the driver must know of one before it rents anything."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.spec.packaged import packaged

_FILE = "program.toml"


@dataclass(frozen=True, slots=True)
class Program:
    """One training program and the locks of its environment."""

    name: str
    folder: Path
    task: str
    command: tuple[str, ...]  # run in the shipped folder, its environment first on PATH
    python: str  # "3.11"
    image: str  # of the machine; the environment comes from the lock
    cuda: str  # of the locked torch: the least that a host's driver must carry
    requirements: Mapping[str, str]  # "cpu" | "cuda" → lock file in the folder
    shares: tuple[Path, ...] = ()  # further folders of jobs/, shipped under their own names


def known_tasks() -> tuple[str, ...]:
    """Every task that a shipped program trains, in alphabetical order."""
    return tuple(sorted(_folders()))


def load_program(task: str) -> Program:
    """The program that trains `task`.

    Raises: SpecError when none does.

    >>> load_program("text-classification").requirements["cpu"]
    'requirements.cpu.txt'
    """
    folders = _folders()
    if task not in folders:
        raise SpecError(
            [f"no program trains the task {task!r}"], hint=f"known: {', '.join(sorted(folders))}"
        )
    folder = folders[task]
    told = tomllib.loads((folder / _FILE).read_text())
    return Program(
        name=told["name"],
        folder=folder,
        task=told["task"],
        command=tuple(told["command"]),
        python=told["python"],
        image=told["image"],
        cuda=told["cuda"],
        requirements=dict(told["requirements"]),
        shares=tuple(folder.parent / name for name in told.get("shares", ())),
    )


def _folders() -> dict[str, Path]:
    """Task → folder; a program's folder has the name of its task."""
    return {path.parent.name: path.parent for path in packaged("jobs").glob(f"*/{_FILE}")}
