"""What one training run is told: by a settings file, by flags, by the environment."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

from training.cost import Meter, read_meter
from training.rehearsal import shortened

Value: TypeAlias = int | float | str | bool
Kinds: TypeAlias = Mapping[str, tuple[type[Value], Value | None]]

_FLAGS = {"true": True, "1": True, "false": False, "0": False}

# Hugging Face's own names, with the kind of value and the default. None: the trainer decides.
COMMON: Kinds = {
    "num_train_epochs": (float, 3.0),
    "max_steps": (int, None),
    "learning_rate": (float, 5e-5),
    "lr_scheduler_type": (str, "linear"),
    "warmup_steps": (float, 0.0),
    "weight_decay": (float, 0.01),
    "per_device_train_batch_size": (int, 16),
    "per_device_eval_batch_size": (int, 32),
    "gradient_accumulation_steps": (int, 1),
    "max_length": (int, 256),
    "eval_steps": (int, None),
    "logging_steps": (int, 10),
    "seed": (int, 42),
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one program can be told."""

    description: str
    columns: tuple[str, ...]  # roles that a column of the data may have
    train: Kinds
    methods: tuple[str, ...] = ("full",)  # the default first
    of_method: Mapping[str, Kinds] = field(default_factory=dict)  # what a method adds or changes

    def kinds(self, method: str) -> Kinds:
        """Every setting that has a meaning with `method`."""
        return {**self.train, **self.of_method.get(method, {})}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `train` needs, with paths already resolved."""

    model: Path
    model_name: str  # for people: the hub id where it is known
    method: str
    train_file: Path
    eval_file: Path | None
    columns: Mapping[str, str]  # role → name; a role that is not there is recognised by name
    train: dict[str, Value]  # a value for every setting that has one
    output: Path
    checkpoints: Path
    metrics: Path
    events: Path
    device: str  # auto | cpu | cuda
    checkpoint_every_s: float
    rehearse: bool  # one step, before anything is rented for all of them
    meter: Meter | None  # what the machine costs; None: nobody said

    def fingerprint(self) -> str:
        """Changes with anything that makes a checkpoint of another run useless here."""
        files = [self.train_file] + ([self.eval_file] if self.eval_file else [])
        asked = {
            "model": _digest(self.model / "config.json"),
            "method": self.method,
            "train": self.train,
            "columns": dict(self.columns),
            "data": [_digest(path) for path in files],
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def fail(problem: str) -> NoReturn:
    """End the program with words for a person instead of a traceback."""
    sys.exit(f"train.py: {problem}")


def read_settings(abilities: Abilities, arguments: list[str]) -> Settings:
    """Settings from the command line, the settings file and GPULEASE_*, in that order."""
    flags = _parser(abilities).parse_args(arguments)
    told = _read_file(flags.settings) if flags.settings else {}
    data = _table(told, "data")
    # Paths in the settings file are relative to it; those of flags to the current folder.
    folder = Path(flags.settings).resolve().parent if flags.settings else Path.cwd()
    train_file = flags.train or _path(data.get("train"), folder)
    eval_file = flags.eval or _path(data.get("eval"), folder)
    model = flags.model or _path(os.environ.get("GPULEASE_MODEL"), Path.cwd())
    output = flags.output or _path(os.environ.get("GPULEASE_OUTPUT"), Path.cwd())
    method = flags.method or told.get("method", abilities.methods[0])
    if method not in abilities.methods:
        fail(f"method {method!r} is not known here; supported: {', '.join(abilities.methods)}")
    if train_file is None or model is None or output is None:
        fail("--model, --train and --output are needed (or --settings and GPULEASE_*)")
    _check_files(model, train_file, eval_file)
    rehearse = flags.rehearse or told.get("rehearse") is True
    train = _read_train(abilities.kinds(str(method)), _table(told, "train"), flags.set)
    return Settings(
        model=model,
        model_name=str(told.get("model") or model.resolve().name),
        method=str(method),
        train_file=train_file,
        eval_file=eval_file,
        columns=_columns(abilities, _table(told, "columns"), flags),
        train=shortened(train) if rehearse else train,
        output=output,
        checkpoints=_placed("GPULEASE_CHECKPOINTS", output / "checkpoints"),
        metrics=_placed("GPULEASE_METRICS", output / "metrics.json"),
        events=_placed("GPULEASE_EVENTS", output / "events.jsonl"),
        device=flags.device or os.environ.get("GPULEASE_DEVICE") or "auto",
        checkpoint_every_s=float(
            flags.checkpoint_every_s or os.environ.get("GPULEASE_CHECKPOINT_EVERY_S") or 900
        ),
        rehearse=rehearse,
        meter=read_meter(os.environ),
    )


def _parser(abilities: Abilities) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train.py", description=abilities.description)
    parser.add_argument("--settings", type=Path, help="JSON written by gpulease; flags win over it")
    parser.add_argument("--model", type=Path, help="folder with config.json, weights, tokenizer")
    parser.add_argument("--train", type=Path, help=".jsonl, .json, .csv or .tsv")
    parser.add_argument("--eval", type=Path, help="rows that are never trained on")
    parser.add_argument("--output", type=Path, help="where the model and the figures go")
    parser.add_argument("--method", help=f"one of {', '.join(abilities.methods)}")
    for role in abilities.columns:
        parser.add_argument(f"--{role}-column", metavar="NAME")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--checkpoint-every-s", type=float, metavar="S", help="default 900")
    parser.add_argument(
        "--rehearse", action="store_true", help="one step on the first batch, and write the results"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"one of {', '.join(abilities.kinds(abilities.methods[0]))}",
    )
    return parser


def _columns(
    abilities: Abilities, told: Mapping[str, object], flags: argparse.Namespace
) -> dict[str, str]:
    asked = {role: getattr(flags, f"{role}_column") or told.get(role) for role in abilities.columns}
    return {role: name for role, name in asked.items() if isinstance(name, str) and name}


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


def _read_train(kinds: Kinds, told: dict[str, object], assignments: list[str]) -> dict[str, Value]:
    asked = dict(told)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            fail(f"--set {assignment}: write NAME=VALUE")
        asked[name] = text
    if unknown := sorted(asked.keys() - kinds.keys()):
        fail(f"unknown setting {unknown[0]!r}; known: {', '.join(kinds)}")
    values = {name: (kind, asked.get(name, default)) for name, (kind, default) in kinds.items()}
    return {
        name: _value(name, kind, raw) for name, (kind, raw) in values.items() if raw is not None
    }


def _value(name: str, kind: type[Value], raw: object) -> Value:
    if kind is str:
        return str(raw)
    if kind is bool:
        flag = _FLAGS.get(str(raw).lower())
        return fail(f"setting {name}: {raw!r} is not true or false") if flag is None else flag
    try:
        number = float(str(raw))
    except ValueError:
        fail(f"setting {name}: {raw!r} is not a number")
    if kind is int and not number.is_integer():
        fail(f"setting {name}: {raw!r} is not a whole number")
    return kind(number)
