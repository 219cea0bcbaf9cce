"""Settings of training, under the names that the field itself uses."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from orchestrator.spec.section import Choice, OneOrMore, Section, Text, wrong

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
    "r": "lora_r",
    "lora_rank": "lora_r",
    "target_modules": "lora_target_modules",
    "activation_checkpointing": "gradient_checkpointing",
    "train_on_responses_only": "assistant_only_loss",
    "merge_lora": "merge_adapter",
}

_SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial")


def _check_warmup(steps: float) -> float:
    if steps >= 1 and not steps.is_integer():
        raise wrong("must be whole steps, or a share of them below 1")
    return steps


class Train(Section):
    """Hugging Face's own names and meanings; None leaves the choice to the program.

    What every task has, with the defaults of text classification.
    """

    num_train_epochs: float = Field(default=3.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1, le=10_000_000)  # wins over epochs
    learning_rate: float | None = Field(default=5e-5, gt=0, le=1)
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
        told = self.model_dump(exclude_none=True)
        return {key: ",".join(v) if isinstance(v, tuple) else v for key, v in told.items()}


class CausalLmTrain(Train):
    """What language models add, under the names of TRL and PEFT."""

    learning_rate: float | None = Field(default=None, gt=0, le=1)  # None: 2e-4, full 2e-5
    warmup_steps: Annotated[float, AfterValidator(_check_warmup)] = Field(
        default=0.03, ge=0, le=1_000_000
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    per_device_train_batch_size: int = Field(default=4, ge=1, le=4096)
    per_device_eval_batch_size: int = Field(default=4, ge=1, le=4096)
    max_length: int = Field(default=1024, ge=8, le=1_048_576)
    packing: bool = False  # several rows in one sequence of max_length, none sees another
    assistant_only_loss: bool = False  # learn from what the assistant says, not from questions
    gradient_checkpointing: bool = True  # a third more work for far less memory
    lora_r: int | None = Field(default=None, ge=1, le=1024)  # None: 16
    lora_alpha: int | None = Field(default=None, ge=1, le=4096)  # None: 32
    lora_dropout: float | None = Field(default=None, ge=0, lt=1)  # None: 0.05
    lora_target_modules: OneOrMore[Text] | None = None  # None: all-linear
    merge_adapter: bool | None = None  # also write the base with the adapter in it, as model/


ONLY_WITH_ADAPTER = (
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
    "merge_adapter",
)
