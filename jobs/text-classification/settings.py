"""What one training run is told: by a settings file, by flags, by the environment."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

Value: TypeAlias = int | float | str

# Hugging Face's own names. None: the trainer works it out.
DEFAULTS: dict[str, Value | None] = {
    "num_train_epochs": 3.0,
    "max_steps": None,
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.0,
    "weight_decay": 0.01,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 32,
    "gradient_accumulation_steps": 1,
    "max_length": 256,
    "eval_steps": None,
    "logging_steps": 10,
    "seed": 42,
}
_WHOLE = {
    name
    for name in DEFAULTS
    if name.endswith(("_size", "_steps", "_length")) and name != "warmup_steps"
} | {"seed"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `train` needs, with paths already resolved."""

    model: Path
    model_name: str  # for people: the hub id where it is known
    train_file: Path
    eval_file: Path | None
    text_column: str | None  # None: recognised by name
    label_column: str | None
    train: dict[str, Value]  # a value for every setting that has one
    output: Path
    checkpoints: Path
    metrics: Path
    events: Path
    device: str  # auto | cpu | cuda
    checkpoint_every_s: float

    def fingerprint(self) -> str:
        """Changes with anything that makes a checkpoint of another run useless here."""
        files = [self.train_file] + ([self.eval_file] if self.eval_file else [])
        asked = {
            "model": _digest(self.model / "config.json"),
            "train": self.train,
            "columns": [self.text_column, self.label_column],
            "data": [_digest(path) for path in files],
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def fail(problem: str) -> NoReturn:
    """End the program with words for a person instead of a traceback."""
    sys.exit(f"train.py: {problem}")


def read_settings(arguments: list[str]) -> Settings:
    """Settings from the command line, the settings file and GPULEASE_*, in that order."""
    flags = _parser().parse_args(arguments)
    told = _read_file(flags.settings) if flags.settings else {}
    data = _table(told, "data")
    columns = _table(told, "columns")
    # Paths in the settings file are relative to it; those of flags to the current folder.
    folder = Path(flags.settings).resolve().parent if flags.settings else Path.cwd()
    train_file = flags.train or _path(data.get("train"), folder)
    eval_file = flags.eval or _path(data.get("eval"), folder)
    model = flags.model or _path(os.environ.get("GPULEASE_MODEL"), Path.cwd())
    output = flags.output or _path(os.environ.get("GPULEASE_OUTPUT"), Path.cwd())
    if told.get("method", "full") != "full":
        fail(f"method {told['method']!r} is not known here; supported: full")
    if train_file is None or model is None or output is None:
        fail("--model, --train and --output are needed (or --settings and GPULEASE_*)")
    _check_files(model, train_file, eval_file)
    return Settings(
        model=model,
        model_name=str(told.get("model") or model.resolve().name),
        train_file=train_file,
        eval_file=eval_file,
        text_column=flags.text_column or _text(columns.get("text")),
        label_column=flags.label_column or _text(columns.get("label")),
        train=_read_train(_table(told, "train"), flags.set),
        output=output,
        checkpoints=_placed("GPULEASE_CHECKPOINTS", output / "checkpoints"),
        metrics=_placed("GPULEASE_METRICS", output / "metrics.json"),
        events=_placed("GPULEASE_EVENTS", output / "events.jsonl"),
        device=flags.device or os.environ.get("GPULEASE_DEVICE") or "auto",
        checkpoint_every_s=float(
            flags.checkpoint_every_s or os.environ.get("GPULEASE_CHECKPOINT_EVERY_S") or 900
        ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py", description="Fine-tune a model folder to classify text."
    )
    parser.add_argument("--settings", type=Path, help="JSON written by gpulease; flags win over it")
    parser.add_argument("--model", type=Path, help="folder with config.json, weights, tokenizer")
    parser.add_argument("--train", type=Path, help=".jsonl, .json, .csv or .tsv")
    parser.add_argument("--eval", type=Path, help="rows that are never trained on")
    parser.add_argument("--output", type=Path, help="where the model and the figures go")
    parser.add_argument("--text-column", metavar="NAME")
    parser.add_argument("--label-column", metavar="NAME")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--checkpoint-every-s", type=float, metavar="S", help="default 900")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"one of {', '.join(DEFAULTS)}",
    )
    return parser


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_file(path: Path) -> dict[str, object]:
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not isinstance(told, dict):
        fail(f"{path}: must be an object")
    return told


def _table(told: dict[str, object], name: str) -> dict[str, object]:
    table = told.get(name) or {}
    if not isinstance(table, dict):
        fail(f"settings: {name} must be an object")
    return table


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _path(value: object, folder: Path) -> Path | None:
    return folder / value if isinstance(value, str) and value else None


def _placed(variable: str, otherwise: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value else otherwise


def _check_files(model: Path, train_file: Path, eval_file: Path | None) -> None:
    if not (model / "config.json").is_file():
        fail(f"{model} is not a model folder: it has no config.json")
    for path in (train_file, eval_file):
        if path is not None and not path.is_file():
            fail(f"there is no file {path}")


def _read_train(told: dict[str, object], assignments: list[str]) -> dict[str, Value]:
    asked = dict(told)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            fail(f"--set {assignment}: write NAME=VALUE")
        asked[name] = text
    if unknown := sorted(asked.keys() - DEFAULTS.keys()):
        fail(f"unknown setting {unknown[0]!r}; known: {', '.join(DEFAULTS)}")
    values = {name: asked.get(name, default) for name, default in DEFAULTS.items()}
    return {name: _value(name, raw) for name, raw in values.items() if raw is not None}


def _value(name: str, raw: object) -> Value:
    if name == "lr_scheduler_type":
        return str(raw)
    try:
        number = float(str(raw))
    except ValueError:
        fail(f"setting {name}: {raw!r} is not a number")
    if name in _WHOLE and not number.is_integer():
        fail(f"setting {name}: {raw!r} is not a whole number")
    return int(number) if name in _WHOLE else number
