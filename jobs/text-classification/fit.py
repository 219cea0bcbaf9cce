"""The training itself: transformers' Trainer with our checkpoints, events and end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from checkpoints import Checkpoints
from device import cpu_cores
from figures import accuracy, macro_f1, majority_class_accuracy, mean_loss
from reporting import Reporter
from rows import Rows
from settings import Settings, fail
from stopping import Stop

_LOG_AT_LEAST_EVERY_S = 5.0
_EVAL_METRICS = ("eval_accuracy", "eval_f1", "eval_loss")


class Stopped(Exception):
    """A checkpoint was saved because somebody asked for the end."""


class _EvaluationCut(Exception):
    """Leave an evaluation: the checkpoint is more urgent."""


@dataclass(frozen=True, slots=True)
class Result:
    """A trained model and its figures."""

    trainer: Trainer
    metrics: dict[str, float | str]
    log_history: list[dict[str, float]]


def train(
    settings: Settings, train_rows: Rows, eval_rows: Rows | None, names: list[str], stop: Stop
) -> Result:
    """Train to the end, from the last complete checkpoint where there is one.

    Raises: Stopped when SIGTERM came and a checkpoint is on disk.
    """
    device = _settle_device(settings.device)
    torch.set_num_threads(cpu_cores())
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.set_seed(int(settings.train["seed"]))
    checkpoints = Checkpoints(settings.checkpoints, settings.fingerprint())
    trainer = _trainer(settings, device, checkpoints, train_rows, eval_rows, names)
    callback = _Conductor(settings, checkpoints, trainer.samples_per_step, stop, bool(eval_rows))
    trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)
    last = checkpoints.newest()
    if last is not None:
        print(f"resuming from {last.name}", flush=True)
    stop.training = True
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    stop.training = False
    if eval_rows and not _last_evaluation(trainer):
        trainer.evaluate()  # resumed from the very last step: nothing was left to train
    if stop.asked:
        raise Stopped
    return Result(trainer, _metrics(trainer, train_rows, eval_rows), trainer.state.log_history)


def _settle_device(asked: str) -> torch.device:
    if asked == "cuda" and not torch.cuda.is_available():
        fail(f"device is cuda, but torch {torch.__version__} finds no usable GPU")
    use_cuda = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")


def _precision(device: torch.device) -> str:
    """Arithmetic of the layers; parameters and optimizer stay float32.

    bf16 exists from compute capability 8.0 on (Ampere); older cards have fp16 with loss scaling.
    """
    if device.type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"


class _Trainer(Trainer):
    """A Trainer whose evaluation can be left for a checkpoint."""

    @property
    def samples_per_step(self) -> int:
        """Rows of one optimizer step, over all devices."""
        return int(self.args.train_batch_size * self.args.gradient_accumulation_steps)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The figures; none when it was cut short."""
        try:
            return dict(super().evaluate(*args, **kwargs))
        except _EvaluationCut:
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
        name: value for name, value in settings.train.items() if name not in _OWN_SETTINGS
    }
    return TrainingArguments(
        output_dir=str(output),
        save_strategy="no",  # _Conductor says when to save, log between, and evaluate
        eval_strategy="no",
        remove_unused_columns=False,
        use_cpu=device.type == "cpu",
        bf16=_precision(device) == "bfloat16",
        fp16=_precision(device) == "float16",
        dataloader_num_workers=0 if device.type == "cpu" else min(4, cpu_cores() - 1),
        dataloader_pin_memory=device.type != "cpu",
        disable_tqdm=True,
        **told,
    )


_OWN_SETTINGS = ("max_length", "eval_steps")


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


class _Conductor(TrainerCallback):
    """Says when to log, evaluate, save and end."""

    def __init__(
        self,
        settings: Settings,
        checkpoints: Checkpoints,
        samples_per_step: int,
        stop: Stop,
        evaluates: bool,
    ) -> None:
        self._checkpoints = checkpoints
        self._every_s = settings.checkpoint_every_s
        self._eval_steps = int(settings.train.get("eval_steps", 0))
        self._evaluates = evaluates
        self._stop = stop
        self._reporter = Reporter(settings.events, samples_per_step)
        self._saved_s = self._logged_s = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_s = self._logged_s = time.monotonic()
        self._reporter.start(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        now = time.monotonic()
        if self._stop.asked or now - self._saved_s >= self._every_s:
            # A log entry with each checkpoint: losses since the last one would be lost on resume.
            control.should_save = control.should_log = True
        elif self._evaluates and self._eval_steps and state.global_step % self._eval_steps == 0:
            control.should_evaluate = True
        if now - self._logged_s >= _LOG_AT_LEAST_EVERY_S or state.global_step >= state.max_steps:
            control.should_log = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        is_over = state.global_step >= state.max_steps
        is_due = self._evaluates and (is_over or not self._eval_steps)
        if is_due and not _evaluation_at(state, state.global_step):
            control.should_evaluate = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._stop.asked and self._stop.training:
            control.should_save = True
            raise _EvaluationCut

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            self._logged_s = time.monotonic()
            self._reporter.progress(state.global_step, state.max_steps, state.epoch or 0.0, logs)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        shown = {name: metrics[name] for name in _EVAL_METRICS if metrics and name in metrics}
        self._reporter.evaluated(state.global_step, state.max_steps, shown)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        written = self._checkpoints.writing / f"checkpoint-{state.global_step}"
        path = self._checkpoints.finish(written, state.global_step)
        self._saved_s = time.monotonic()
        print(f"saved {path.name}", flush=True)
        if self._stop.asked:
            raise Stopped


def _judge(prediction: EvalPrediction) -> dict[str, float]:
    logits, truth = prediction.predictions, np.asarray(prediction.label_ids)
    predicted = np.argmax(logits[0] if isinstance(logits, tuple) else logits, axis=-1)
    return {"accuracy": accuracy(predicted, truth), "f1": macro_f1(predicted, truth)}


def _evaluation_at(state: TrainerState, step: int) -> dict[str, float]:
    found = (entry for entry in state.log_history if "eval_loss" in entry)
    return next((entry for entry in found if entry["step"] == step), {})


def _last_evaluation(trainer: Trainer) -> dict[str, float]:
    return _evaluation_at(trainer.state, trainer.state.global_step)


def _metrics(trainer: Trainer, train_rows: Rows, eval_rows: Rows | None) -> dict[str, float | str]:
    metrics: dict[str, float | str] = {}
    if eval_rows:
        evaluation = _last_evaluation(trainer)
        metrics.update({name: evaluation[name] for name in _EVAL_METRICS})
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
        device=_device_name(trainer.args.device),
        dtype=_precision(trainer.args.device),
    )
    return metrics


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
