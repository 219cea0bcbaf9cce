"""Says when a transformers Trainer logs, evaluates, saves and ends; the same for every program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from training.checkpoints import Checkpoints
from training.reporting import Reporter
from training.settings import Settings
from training.stopping import Stop

_LOG_AT_LEAST_EVERY_S = 5.0
Evaluate = Callable[..., dict[str, float]]


class Stopped(Exception):
    """A checkpoint was saved because somebody asked for the end."""


class EvaluationCut(Exception):
    """Leave an evaluation: the checkpoint is more urgent."""


class Counter:
    """Figures of the whole training that go on after a resume."""

    def __init__(self) -> None:
        self.tokens = 0
        self._seconds_before = 0.0
        self._started_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time in the training loop, evaluations included."""
        return self._seconds_before + time.monotonic() - self._started_s

    def go_on(self, counts: dict[str, float]) -> None:
        """Count from what a checkpoint says."""
        self.tokens = int(counts.get("tokens", 0))
        self._seconds_before = counts.get("seconds", 0.0)
        self._started_s = time.monotonic()

    def counts(self) -> dict[str, float]:
        return {"tokens": self.tokens, "seconds": round(self.seconds, 3)}


class Conductor(TrainerCallback):
    """Checkpoints by the clock, progress events, and an end at SIGTERM."""

    def __init__(
        self,
        settings: Settings,
        checkpoints: Checkpoints,
        *,
        samples_per_step: int,
        stop: Stop,
        eval_metrics: tuple[str, ...],
        evaluates: bool,
        count_tokens: Callable[[], int] = lambda: 0,
    ) -> None:
        self.counter = Counter()
        self._checkpoints = checkpoints
        self._every_s = settings.checkpoint_every_s
        self._eval_steps = int(settings.train.get("eval_steps", 0))
        self._eval_metrics = eval_metrics
        self._evaluates = evaluates
        self._stop = stop
        self._count_tokens = count_tokens  # since it was asked last
        self._reporter = Reporter(settings.events, samples_per_step)
        self._saved_s = self._logged_s = 0.0

    def train(self, trainer: Trainer) -> None:
        """Train to the end, from the newest complete checkpoint where there is one.

        Raises: Stopped when SIGTERM came and a checkpoint is on disk.
        """
        trainer.add_callback(self)
        trainer.remove_callback(PrinterCallback)
        last = self._checkpoints.newest()
        if last is not None:
            print(f"resuming from {last.name}", flush=True)
            self.counter.go_on(self._checkpoints.counts_of(last))
        trainer.evaluate = _leaving_no_trace(trainer.evaluate)
        self._stop.training = True
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        self._stop.training = False
        if self._evaluates and not last_evaluation(trainer):
            trainer.evaluate()  # resumed from the very last step: nothing was left to train
        if self._stop.asked:
            raise Stopped

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_s = self._logged_s = time.monotonic()
        self._reporter.start(state.global_step, self.counter.tokens)

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
            raise EvaluationCut

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
            self.counter.tokens += self._count_tokens()
            epoch = state.epoch or 0.0
            self._reporter.progress(
                state.global_step, state.max_steps, epoch, logs, self.counter.tokens
            )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        shown = {name: metrics[name] for name in self._eval_metrics if metrics and name in metrics}
        self._reporter.evaluated(state.global_step, state.max_steps, shown)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.counter.tokens += self._count_tokens()
        written = self._checkpoints.writing / f"checkpoint-{state.global_step}"
        path = self._checkpoints.finish(written, state.global_step, self.counter.counts())
        self._saved_s = time.monotonic()
        print(f"saved {path.name}", flush=True)
        if self._stop.asked:
            raise Stopped


def _leaving_no_trace(evaluate: Evaluate) -> Evaluate:
    """An evaluation that draws no random numbers from those of the training.

    Else a run that was stopped between the last step of an epoch and its evaluation, which is not
    made up for, would go on with others than an uninterrupted one: reading rows draws a seed.
    """

    def evaluated(*arguments: Any, **named: Any) -> dict[str, float]:
        with torch.random.fork_rng():
            return evaluate(*arguments, **named)

    return evaluated


def samples_per_step(arguments: TrainingArguments) -> int:
    """Rows of one optimizer step, over all devices."""
    return int(arguments.train_batch_size * arguments.gradient_accumulation_steps)


def last_evaluation(trainer: Trainer) -> dict[str, float]:
    """The figures of the last step's evaluation; none when there was none."""
    return _evaluation_at(trainer.state, trainer.state.global_step)


def _evaluation_at(state: TrainerState, step: int) -> dict[str, float]:
    found = (entry for entry in state.log_history if "eval_loss" in entry)
    return next((entry for entry in found if entry["step"] == step), {})
