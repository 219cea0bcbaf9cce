"""The training itself: transformers' Trainer with our checkpoints, events and end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from training.checkpoints import Checkpoints
from training.conductor import Conductor, EvaluationCut, last_evaluation, samples_per_step
from training.device import cpu_cores
from training.figures import mean_loss
from training.processor import name, precision, settle
from training.settings import Settings
from training.stopping import Stop
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    Trainer,
    TrainingArguments,
)

from figures import accuracy, macro_f1, majority_class_accuracy
from rows import Rows

_EVAL_METRICS = ("eval_accuracy", "eval_f1", "eval_loss")
_OWN_SETTINGS = ("max_length", "eval_steps")


@dataclass(frozen=True, slots=True)
class Result:
    """A trained model and its figures."""

    trainer: Trainer
    metrics: dict[str, float | str]
    seconds: float


def train(
    settings: Settings, train_rows: Rows, eval_rows: Rows | None, names: list[str], stop: Stop
) -> Result:
    """Train to the end, from the last complete checkpoint where there is one.

    Raises: Stopped when SIGTERM came and a checkpoint is on disk.
    """
    device = settle(settings.device)
    transformers.set_seed(int(settings.train["seed"]))
    checkpoints = Checkpoints(settings.checkpoints, settings.fingerprint())
    trainer = _trainer(settings, device, checkpoints, train_rows, eval_rows, names)
    conductor = Conductor(
        settings,
        checkpoints,
        samples_per_step=samples_per_step(trainer.args),
        stop=stop,
        eval_metrics=_EVAL_METRICS,
        evaluates=bool(eval_rows),
    )
    conductor.train(trainer)
    metrics = _metrics(trainer, train_rows, eval_rows)
    return Result(trainer, metrics, conductor.counter.seconds)


class _Trainer(Trainer):
    """A Trainer whose evaluation can be left for a checkpoint."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The figures; none when it was cut short."""
        try:
            return dict(super().evaluate(*args, **kwargs))
        except EvaluationCut:
            return {}


def _trainer(
    settings: Settings,
    device: torch.device,
    checkpoints: Checkpoints,
    train_rows: Rows,
    eval_rows: Rows | None,
    names: list[str],
) -> _Trainer:
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        settings.model,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type="single_label_classification",
        dtype="float32",
        ignore_mismatched_sizes=True,  # a head for other labels is replaced
    )
    if tokenizer.pad_token is None:  # models made to write, not to classify
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    longest = min(int(settings.train["max_length"]), tokenizer.model_max_length)
    numbers = {name: number for number, name in enumerate(names)}
    return _Trainer(
        model=model,
        args=_arguments(settings, device, checkpoints.writing),
        train_dataset=_Numbered(train_rows, numbers),
        eval_dataset=_Numbered(eval_rows, numbers) if eval_rows else None,
        data_collator=_Collator(tokenizer, longest),
        processing_class=tokenizer,
        compute_metrics=_judge,
    )


def _arguments(settings: Settings, device: torch.device, output: Path) -> TrainingArguments:
    told: dict[str, Any] = {
        key: value for key, value in settings.train.items() if key not in _OWN_SETTINGS
    }
    return TrainingArguments(
        output_dir=str(output),
        save_strategy="no",  # _Conductor says when to save, log between, and evaluate
        eval_strategy="no",
        remove_unused_columns=False,
        use_cpu=device.type == "cpu",
        bf16=precision(device) == "bfloat16",
        fp16=precision(device) == "float16",
        dataloader_num_workers=0 if device.type == "cpu" else min(4, cpu_cores() - 1),
        dataloader_pin_memory=device.type != "cpu",
        disable_tqdm=True,
        **told,
    )


class _Numbered(torch.utils.data.Dataset[tuple[str, int]]):
    """Texts with the class numbers of their labels."""

    def __init__(self, rows: Rows, numbers: dict[str, int]) -> None:
        self._rows = rows
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self._rows.texts[index], self._numbers[self._rows.labels[index]]


@dataclass(frozen=True, slots=True)
class _Collator:
    """Tokenises a batch when it is needed, padded to its own longest text."""

    tokenizer: Any
    max_length: int

    def __call__(self, batch: list[tuple[str, int]]) -> dict[str, torch.Tensor]:
        encoded = self.tokenizer(
            [text for text, _ in batch],
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        return {**encoded, "labels": torch.tensor([number for _, number in batch])}


def _judge(prediction: EvalPrediction) -> dict[str, float]:
    logits, truth = prediction.predictions, np.asarray(prediction.label_ids)
    predicted = np.argmax(logits[0] if isinstance(logits, tuple) else logits, axis=-1)
    return {"accuracy": accuracy(predicted, truth), "f1": macro_f1(predicted, truth)}


def _metrics(trainer: Trainer, train_rows: Rows, eval_rows: Rows | None) -> dict[str, float | str]:
    metrics: dict[str, float | str] = {}
    if eval_rows:
        evaluation = last_evaluation(trainer)
        metrics.update({key: evaluation[key] for key in _EVAL_METRICS})
        metrics["majority_class_accuracy"] = majority_class_accuracy(
            train_rows.labels, eval_rows.labels
        )
    loss = mean_loss(trainer.state.log_history)
    if loss is not None:
        metrics["train_loss"] = loss
    metrics.update(
        steps=trainer.state.global_step,
        samples=round((trainer.state.epoch or 0.0) * len(train_rows)),
        train_rows=len(train_rows),
        eval_rows=len(eval_rows) if eval_rows else 0,
        device=name(trainer.args.device),
        dtype=precision(trainer.args.device),
    )
    return metrics
