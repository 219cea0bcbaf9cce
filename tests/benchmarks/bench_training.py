"""Seconds of a training step: the causal-lm program beside `trl sft`, with equal settings.

Both train the same adapter on the same rows in the same order, in the program's own environment,
turn by turn; the losses are compared, so that it is the same work. What is measured is the
trainer's own `train_runtime`: the loop, without imports and reading. On the tiny model a step is
mostly Python, so what our program adds to it (tokens counted, progress told) weighs most here.
The fastest turn of each counts: what else the computer does only ever adds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.program_environment import program_python
from infra.simcloud.hub_llama import tiny_llama
from orchestrator.spec.packaged import packaged
from orchestrator.spec.programs import load_program
from tests.benchmarks.ratio import Row

RUNS = 5
STEPS = 60
LIMIT = 1 / 0.98  # of seconds a step: 0.98 × the steps a second
_LIMIT_S = 900
SETTINGS = {
    "max_steps": f"{STEPS}",
    "per_device_train_batch_size": "8",
    "max_length": "256",
    "learning_rate": "0.0002",
    "warmup_steps": "0.03",
    "weight_decay": "0.0",
    "lr_scheduler_type": "linear",
    "gradient_checkpointing": "false",
    "logging_steps": "10",
    "lora_r": "16",
    "lora_alpha": "32",
    "lora_dropout": "0.05",
    "lora_target_modules": "all-linear",
    "seed": "42",
}
# What the program does by itself on a CPU: float32, no file before the end, no bar.
BESIDE = ["--use_peft", "--use_cpu", "true", "--bf16", "false", "--dtype", "float32"]
BESIDE += ["--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true"]
LAST_LINE = re.compile(r"\{'train_runtime': '([\d.e+]+)'.*'train_loss': '([\d.]+)'")


def rows() -> Iterator[Row]:
    python, model = program_python(load_program("causal-lm")), tiny_llama()
    with tempfile.TemporaryDirectory(prefix="gpulease-bench-") as place:
        desk = Path(place)
        (desk / "data").mkdir()
        data = packaged("jobs") / "ticket-router" / "data" / "router.train.jsonl"
        shutil.copy(data, desk / "data" / "train.jsonl")
        turns = [(_ours(python, model, desk), _by_trl(python, model, desk)) for _ in range(RUNS)]
    for (_, loss), (_, other) in turns:
        assert abs(loss - other) < 0.002, f"not the same work: {loss} and {other}"
    yield Row(
        "a step of the causal-lm program (LoRA, tiny model, CPU)",
        1000 * min(seconds for (seconds, _), _ in turns) / STEPS,
        1000 * min(seconds for _, (seconds, _) in turns) / STEPS,
        "ms",
        LIMIT,
        "`trl sft`",
    )


def _ours(python: Path, model: Path, desk: Path) -> tuple[float, float]:
    """Seconds in the loop, and the mean loss."""
    output = desk / "ours"
    shutil.rmtree(output, ignore_errors=True)
    train = [python, load_program("causal-lm").folder / "train.py"]
    told = ["--model", model, "--train", desk / "data/train.jsonl", "--output", output]
    told += ["--method", "lora", "--device", "cpu"]
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    _run([*train, *told, *settings], desk, python)
    lines = (output / "training_log.jsonl").read_text().splitlines()
    last = next(entry for entry in map(json.loads, reversed(lines)) if "train_runtime" in entry)
    return last["train_runtime"], last["train_loss"]


def _by_trl(python: Path, model: Path, desk: Path) -> tuple[float, float]:
    """The same by TRL's own command line."""
    shutil.rmtree(desk / "trl", ignore_errors=True)
    told = ["--model_name_or_path", model, "--dataset_name", desk / "data"]
    told += ["--output_dir", desk / "trl", *BESIDE]
    settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    said = _run([python.with_name("trl"), "sft", *told, *settings], desk, python)
    found = LAST_LINE.search(said)
    assert found, said[-2000:]
    return float(found[1]), float(found[2])


def _run(command: Sequence[object], desk: Path, python: Path) -> str:
    """What it says; both see the same threads, and waits that do not spin."""
    environment = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HF_HOME": str(desk / "hub"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
    }
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]
    return ended.stdout
