"""Settings of training, under the names that the field itself uses."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from orchestrator.spec.section import Choice, Section, wrong

# What people write → what it is called here.
OTHER_NAMES = {
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "lr": "learning_rate",
    "batch_size": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "scheduler": "lr_scheduler_type",
    "steps": "max_steps",
    "warmup_ratio": "warmup_steps",  # a value below 1 is a ratio (transformers 5)
}

_SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial")


def _check_warmup(steps: float) -> float:
    if steps >= 1 and not steps.is_integer():
        raise wrong("must be whole steps, or a share of them below 1")
    return steps


class TextClassificationTrain(Section):
    """Hugging Face's own names and meanings; None leaves the choice to the program."""

    num_train_epochs: float = Field(default=3.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1, le=10_000_000)  # wins over epochs
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    lr_scheduler_type: Annotated[str, Choice(_SCHEDULERS)] = "linear"
    warmup_steps: Annotated[float, AfterValidator(_check_warmup)] = Field(
        default=0.0, ge=0, le=1_000_000
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    per_device_train_batch_size: int = Field(default=16, ge=1, le=4096)
    per_device_eval_batch_size: int = Field(default=32, ge=1, le=4096)
    gradient_accumulation_steps: int = Field(default=1, ge=1, le=4096)
    max_length: int = Field(default=256, ge=8, le=131_072)  # tokens; longer rows are cut
    eval_steps: int | None = Field(default=None, ge=1, le=10_000_000)  # None: once per epoch
    logging_steps: int = Field(default=10, ge=1, le=1_000_000)
    seed: int = Field(default=42, ge=0, lt=2**32)

    def to_settings(self) -> dict[str, int | float | str]:
        """What the program is told: every setting that has a value."""
        return self.model_dump(exclude_none=True)
