"""What a person is told before torch is imported; any Python runs this far."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.spec.programs import Program

GOOD = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'


def has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    (tmp_path / "model").symlink_to(tiny_model)
    (tmp_path / "a.jsonl").write_text(GOOD)
    return tmp_path


def refusal(program: Program, folder: Path, *flags: str) -> str:
    """The one line that it ends with; exit code 1, and never a traceback."""
    command = [sys.executable, "-B", str(program.folder / "train.py"), *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("train.py: ") and done.stderr.count("\n") == 1
    return done.stderr.removeprefix("train.py: ").strip()


def flags(train: str = "a.jsonl", *more: str) -> list[str]:
    return ["--model", "model", "--train", train, "--output", "out", "--device", "cpu", *more]


@pytest.mark.skipif(has_cuda_driver(), reason="this computer has a CUDA driver")
def test_cuda_without_a_gpu_fails_in_the_first_second(program: Program, folder: Path) -> None:
    started_s = time.monotonic()
    said = refusal(program, folder, *flags("a.jsonl", "--device", "cuda"))

    assert said == "device is cuda, but this machine has no CUDA driver (libcuda.so.1)"
    assert time.monotonic() - started_s < 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.jsonl", GOOD + "{oops}\n", "b.jsonl:3: not valid JSON"),
        ("b.jsonl", GOOD + "[1]\n", "b.jsonl:3: a row must be an object"),
        ("b.jsonl", '{"text": " ", "label": "x"}\n', "b.jsonl:1: no text in column 'text'"),
        ("b.jsonl", '{"text": "a", "label": 0.5}\n', "b.jsonl:1: no label in column 'label'"),
        ("b.jsonl", '{"words": "a", "label": "x"}\n', "b.jsonl:1: no text in column 'text'"),
        ("b.jsonl", "", "b.jsonl: no rows"),
        ("b.jsonl", b"\xff\xfe", "b.jsonl: "),
        ("b.json", "{]", "b.json:1: not valid JSON"),
        ("b.json", '{"text": "a"}', "b.json: must be a list of rows"),
        ("b.csv", "text,label\na\n", "b.csv:2: no label in column 'label'"),
        ("b.jsonl", '{"text": "a", "label": "x"}\n', "every training row has the label 'x'"),
    ],
)
def test_bad_rows_are_named_with_their_line(
    program: Program, folder: Path, name: str, content: str | bytes, said: str
) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(program, folder, *flags(name)).startswith(said)


def test_a_label_that_only_eval_has_is_refused(program: Program, folder: Path) -> None:
    (folder / "e.jsonl").write_text('{"text": "c", "label": "z"}\n')
    said = refusal(program, folder, *flags("a.jsonl", "--eval", "e.jsonl"))
    assert said == "label 'z' of the eval rows is in no training row"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "learning_rat=1"], "unknown setting 'learning_rat'; known: num_train_epochs"),
        (["--set", "seed=1.5"], "setting seed: '1.5' is not a whole number"),
        (["--set", "learning_rate=high"], "setting learning_rate: 'high' is not a number"),
        (["--set", "seed"], "--set seed: write NAME=VALUE"),
        (["--model", "."], ". is not a model folder: it has no config.json"),
        (["--train", "absent.jsonl"], "there is no file absent.jsonl"),
        (["--settings", "absent.json"], "absent.json: "),
    ],
)
def test_bad_flags(program: Program, folder: Path, more: list[str], said: str) -> None:
    assert refusal(program, folder, *flags("a.jsonl", *more)).startswith(said)


def test_a_method_that_the_program_does_not_know_is_refused(program: Program, folder: Path) -> None:
    (folder / "settings.json").write_text(json.dumps({"method": "lora"}))
    said = refusal(program, folder, *flags("a.jsonl", "--settings", "settings.json"))
    assert said == "method 'lora' is not known here; supported: full"


def test_nothing_given_says_what_is_needed(program: Program, folder: Path) -> None:
    assert "--model, --train and --output are needed" in refusal(program, folder)
