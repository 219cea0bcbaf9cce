"""Seconds of a training step: the causal-lm program beside `trl sft`, with equal settings.

Both train the same adapter on the same rows in the same order, in the program's own environment,
turn by turn, each first in every other; the losses are compared, so that it is the same work. What
is measured is the time between the lines that both print every `LOG_STEPS` steps: the loop, without
imports and reading. On the tiny model a step is mostly Python, so what our program adds to it
(tokens counted, progress told) weighs most here. Of each stretch between two lines the fastest turn
counts: what else the computer does only ever adds, and by more from turn to turn than the two
differ by.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from infra.program_environment import program_python
from infra.simcloud.hub_llama import tiny_llama
from orchestrator.spec.packaged import packaged
from orchestrator.spec.programs import load_program
from tests.benchmarks.ratio import Row

RUNS = 7
STEPS = 60
LOG_STEPS = 5
LIMIT = 1 / 0.98  # of seconds a step: 0.98 × the steps a second
SETTINGS = {
    "max_steps": f"{STEPS}",
    "per_device_train_batch_size": "8",
    "max_length": "256",
    "learning_rate": "0.0002",
    "warmup_steps": "0.03",
    "weight_decay": "0.0",
    "lr_scheduler_type": "linear",
    "gradient_checkpointing": "false",
    "logging_steps": f"{LOG_STEPS}",
    "lora_r": "16",
    "lora_alpha": "32",
    "lora_dropout": "0.05",
    "lora_target_modules": "all-linear",
    "seed": "42",
}
# What the program does by itself on a CPU: float32, no file before the end, no bar.
BESIDE = ["--use_peft", "--use_cpu", "true", "--bf16", "false", "--dtype", "float32"]
BESIDE += ["--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true"]
_LIMIT_S = 900
LOGGED = re.compile(r"step \d+/|\{'loss'")
TRAIN_LOSS = re.compile(r"'train_loss': '([\d.]+)'")


Turn = tuple[list[float], float]  # seconds of each stretch, and the mean loss


def rows() -> Iterator[Row]:
    python, model = program_python(load_program("causal-lm")), tiny_llama()
    with tempfile.TemporaryDirectory(prefix="gpulease-bench-") as place:
        desk = Path(place)
        (desk / "data").mkdir()
        data = packaged("jobs") / "ticket-router" / "data" / "router.train.jsonl"
        shutil.copy(data, desk / "data" / "train.jsonl")
        ours: list[Turn] = []
        theirs: list[Turn] = []
        for turn in range(RUNS):
            pair = ((_ours, ours), (_by_trl, theirs))
            for act, told in pair if turn % 2 else reversed(pair):
                told.append(act(python, model, desk))
    for (_, loss), (_, other) in zip(ours, theirs, strict=True):
        assert abs(loss - other) < 0.002, f"not the same work: {loss} and {other}"
    yield Row(
        "a step of the causal-lm program (LoRA, tiny model, CPU)",
        1000 * _fastest_s([stretches for stretches, _ in ours]) / (STEPS - LOG_STEPS),
        1000 * _fastest_s([stretches for stretches, _ in theirs]) / (STEPS - LOG_STEPS),
        "ms",
        LIMIT,
        "`trl sft`",
    )


def _fastest_s(turns: Sequence[Sequence[float]]) -> float:
    """From the first line to the last, each stretch as fast as in its fastest turn."""
    return sum((min(stretch) for stretch in zip(*turns, strict=True)), 0.0)


def _ours(python: Path, model: Path, desk: Path) -> Turn:
    output = desk / "ours"
    shutil.rmtree(output, ignore_errors=True)
    train = [python, load_program("causal-lm").folder / "train.py"]
    told = ["--model", model, "--train", desk / "data/train.jsonl", "--output", output]
    told += ["--method", "lora", "--device", "cpu"]
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    stretches, _ = _run([*train, *told, *settings], desk, python)
    lines = (output / "training_log.jsonl").read_text().splitlines()
    last = next(entry for entry in map(json.loads, reversed(lines)) if "train_loss" in entry)
    return stretches, last["train_loss"]


def _by_trl(python: Path, model: Path, desk: Path) -> Turn:
    """The same by TRL's own command line."""
    shutil.rmtree(desk / "trl", ignore_errors=True)
    told = ["--model_name_or_path", model, "--dataset_name", desk / "data"]
    told += ["--output_dir", desk / "trl", *BESIDE]
    settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    stretches, said = _run([python.with_name("trl"), "sft", *told, *settings], desk, python)
    found = TRAIN_LOSS.search(said)
    assert found, said[-2000:]
    return stretches, float(found[1])


def _run(command: Sequence[object], desk: Path, python: Path) -> tuple[list[float], str]:
    """Seconds of each stretch, and all it says; both see the same threads, and none spins."""
    environment = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HF_HOME": str(desk / "hub"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "OMP_WAIT_POLICY": "passive",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    said, logged_s = [], []
    with subprocess.Popen(
        ["timeout", f"{_LIMIT_S}", *(str(word) for word in command)],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if LOGGED.match(line):
                logged_s.append(time.perf_counter())
    assert process.returncode == 0, "".join(said)[-2000:]
    assert len(logged_s) == STEPS // LOG_STEPS, "".join(said)[-2000:]
    return [end - start for start, end in pairwise(logged_s)], "".join(said)
