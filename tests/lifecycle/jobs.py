"""Jobs in a folder of the test, and what `prepare` would say of them."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.lifecycle.plan import Material
from orchestrator.spec.job import Job
from orchestrator.spec.load import load_job
from orchestrator.spec.resources import Need
from tests.runs.samples import launch

TICKETS = """\
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
code: {path: own, command: python train.py}
gpu: {allow_cpu: true}
budget: {max_cost: 2.00, max_duration: 1h}
"""


def tickets(folder: Path, more: str = "", *, labels: str = "ab") -> Job:
    """A job of our own program with six rows to train on and six to evaluate on."""
    for name in ("train", "eval"):
        rows = [{"text": f"{name} {n}", "label": labels[n % len(labels)]} for n in range(6)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return _load(folder, TICKETS + more)


def tickets_with_two_slips() -> str:
    """Rows to train on whose 7th and 8th line are wrong."""
    good = [json.dumps({"text": f"train {n}", "label": "ab"[n % 2]}) for n in range(6)]
    return "\n".join([*good, "not json", '{"text": 3, "label": "a"}', ""])


def own_code(folder: Path, more: str = "") -> Job:
    """A job that runs the user's own `train.py`."""
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "train.py").write_text("print('first')\n")
    return _load(folder, OWN_CODE + more)


def material(job: Job, *, warnings: tuple[str, ...] = ()) -> Material:
    """An unsized job that wants one GPU."""
    return Material(job, launch(), Need(gpu_memory_gib=10), None, (), warnings)


def _load(folder: Path, text: str) -> Job:
    path = folder / "job.yaml"
    path.write_text(text)
    return load_job(path)
