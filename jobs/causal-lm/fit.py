"""The training itself: TRL's SFTTrainer with our checkpoints, events, figures and end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from jinja2 import TemplateError
from training.checkpoints import Checkpoints
from training.conductor import Conductor, EvaluationCut, last_evaluation, samples_per_step
from training.device import cpu_cores
from training.figures import mean_loss, perplexity
from training.processor import name, peak_memory_gib, precision, settle
from training.settings import Settings, fail
from training.stopping import Stop
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTConfig, SFTTrainer

from models import adapter_config, load
from options import LORA
from rows import Rows

_EVAL_METRICS = ("eval_loss", "eval_perplexity", "eval_mean_token_accuracy")
_OWN_SETTINGS = {"eval_steps", *LORA} - {"learning_rate"}


@dataclass(frozen=True, slots=True)
class Result:
    """A trained model and its figures."""

    trainer: SFTTrainer
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    metrics: dict[str, float | str]
    seconds: float


def train(settings: Settings, train_rows: Rows, eval_rows: Rows | None, stop: Stop) -> Result:
    """Train to the end, from the last complete checkpoint where there is one.

    Raises: Stopped when SIGTERM came and a checkpoint is on disk.
    """
    device = settle(settings.device)
    disable_progress_bars()
    transformers.set_seed(int(settings.train["seed"]))
    checkpoints = Checkpoints(settings.checkpoints, settings.fingerprint())
    tokenizer = _tokenizer(settings, train_rows)
    trainer = _trainer(settings, device, checkpoints.writing, tokenizer, train_rows, eval_rows)
    conductor = Conductor(
        settings,
        checkpoints,
        samples_per_step=samples_per_step(trainer.args),
        stop=stop,
        eval_metrics=_EVAL_METRICS,
        evaluates=bool(eval_rows),
        count_tokens=trainer.take_tokens,
    )
    conductor.train(trainer)
    metrics = _metrics(trainer, train_rows, eval_rows, conductor)
    return Result(trainer, tokenizer, device, metrics, conductor.counter.seconds)


class _Trainer(SFTTrainer):
    """TRL's trainer; counts tokens, and judges by the mean of all tokens instead of batches."""

    _tokens: torch.Tensor | int = 0
    _judged: tuple[float, int] = (0.0, 0)

    def take_tokens(self) -> int:
        """Tokens that were trained on since this was asked last, without padding."""
        tokens, self._tokens = int(self._tokens), 0
        return tokens

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        mask = inputs.get("attention_mask")
        # Added up where it lies: asking a GPU for the number would wait for it.
        self._tokens = self._tokens + (inputs["input_ids"].numel() if mask is None else mask.sum())
        return super().training_step(model, inputs, *args)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The figures; none when it was cut short."""
        try:
            return dict(super().evaluate(*args, **kwargs))
        except EvaluationCut:
            self._metrics["eval"].clear()
            return {}

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        self._judged = (0.0, 0)
        output = super().evaluation_loop(*args, **kwargs)
        total, tokens = self._judged
        loss = total / max(tokens, 1)
        output.metrics.update(eval_loss=loss, eval_perplexity=perplexity(loss))
        return output

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor | None, Any, Any]:
        # A token is predicted from the ones before it: nothing predicts a row's first.
        tokens = int((inputs["labels"][..., 1:] != -100).sum())
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        total, counted = self._judged
        self._judged = (total + float(loss) * tokens, counted + tokens)
        return loss, logits, labels

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card for a checkpoint: ours is written at the end."""


def _tokenizer(settings: Settings, rows: Rows) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    if tokenizer.eos_token is None:
        fail("the model's tokenizer has no end-of-text token: nothing would teach it to stop")
    if rows.is_chat and not tokenizer.chat_template:
        fail("the model has no chat template, and the rows are conversations")
    is_chat = rows.is_chat or (rows.layout == "instruction" and tokenizer.chat_template)
    if settings.train["assistant_only_loss"] and not is_chat:
        fail(f"assistant_only_loss: nobody is the assistant in {rows.layout} rows")
    return tokenizer


def _trainer(
    settings: Settings,
    device: torch.device,
    output: Path,
    tokenizer: PreTrainedTokenizerBase,
    train_rows: Rows,
    eval_rows: Rows | None,
) -> _Trainer:
    chat = bool(tokenizer.chat_template)
    train_data = Dataset.from_list(list(train_rows.examples(chat=chat)))
    eval_data = Dataset.from_list(list(eval_rows.examples(chat=chat))) if eval_rows else None
    try:
        trainer = _Trainer(
            model=load(settings, device),
            args=_arguments(settings, device, output),
            train_dataset=train_data,
            eval_dataset=eval_data,
            processing_class=tokenizer,
            peft_config=adapter_config(settings),
        )
    except TemplateError as error:
        fail(f"the model's chat template refuses a row: {error}")
    for what, data in (("training", trainer.train_dataset), ("eval", trainer.eval_dataset)):
        if data is not None and len(data) == 0:
            longest = settings.train["max_length"]
            fail(f"no {what} row is left: their prompts alone fill max_length ({longest} tokens)")
    return trainer


def _arguments(settings: Settings, device: torch.device, output: Path) -> SFTConfig:
    told: dict[str, Any] = {
        key: value for key, value in settings.train.items() if key not in _OWN_SETTINGS
    }
    return SFTConfig(
        output_dir=str(output),
        save_strategy="no",  # the Conductor says when to save, log between, and evaluate
        eval_strategy="no",
        use_cpu=device.type == "cpu",
        bf16=precision(device) == "bfloat16",
        fp16=precision(device) == "float16",
        dataloader_num_workers=0 if device.type == "cpu" else min(4, cpu_cores() - 1),
        dataloader_pin_memory=device.type != "cpu",
        disable_tqdm=True,
        **told,
    )


def _metrics(
    trainer: _Trainer, train_rows: Rows, eval_rows: Rows | None, conductor: Conductor
) -> dict[str, float | str]:
    metrics: dict[str, float | str] = {}
    if eval_rows:
        evaluation = last_evaluation(trainer)
        metrics.update({key: evaluation[key] for key in _EVAL_METRICS if key in evaluation})
    loss = mean_loss(trainer.state.log_history)
    if loss is not None:
        metrics["train_loss"] = loss
    parameters = list(trainer.model.parameters())
    device = trainer.args.device
    metrics.update(
        steps=trainer.state.global_step,
        tokens=conductor.counter.tokens,
        train_rows=len(train_rows),
        eval_rows=len(eval_rows) if eval_rows else 0,
        trained_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        device=name(device),
        dtype=precision(device),
    )
    if (memory_gib := peak_memory_gib(device)) is not None:
        metrics["peak_gpu_memory_gib"] = round(memory_gib, 2)
    return metrics
