"""A folder with a valid job and its data, to be spoilt by each test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec.job import Job
from orchestrator.spec.load import load_job

JOB = """\
kind: finetune
name: tickets
model: sentence-transformers/all-MiniLM-L6-v2
task: text-classification
data: {train: train.jsonl, eval: eval.jsonl}
budget: {max_cost: 2.00, max_duration: 1h}
"""
OWN_CODE = """\
kind: finetune
name: trainer
code: {path: ., command: python train.py}
"""

Load = Callable[..., Job]
Problems = Callable[..., list[str]]
WriteRows = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the job file and its data lie."""
    rows = [{"text": f"row {n}", "label": "ab"[n % 2]} for n in range(6)]
    for name in ("train.jsonl", "eval.jsonl"):
        content = "".join(json.dumps({**row, "in": name}) + "\n" for row in rows)
        (tmp_path / name).write_text(content.replace("row", name))
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Load:
    """The job that a text means; `more` is written below a valid job."""

    def load_text(more: str = "", *, base: str = JOB, sets: tuple[str, ...] = ()) -> Job:
        path = folder / "job.yaml"
        path.write_text(base + more)
        return load_job(path, sets=sets)

    return load_text


@pytest.fixture
def problems(load: Load, folder: Path) -> Problems:
    """Every problem of a text, without the folder's name."""

    def list_problems(more: str = "", *, base: str = JOB, sets: tuple[str, ...] = ()) -> list[str]:
        with pytest.raises(SpecError) as caught:
            load(more, base=base, sets=sets)
        return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]

    return list_problems


@pytest.fixture
def own_code() -> str:
    """A valid job of the user's own code."""
    return OWN_CODE


@pytest.fixture
def our_job() -> str:
    """A valid job of one of our programs."""
    return JOB
