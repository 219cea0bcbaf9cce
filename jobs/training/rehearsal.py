"""A rehearsal: one step of the job and all that follows, to see whether it would go through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

MOST_ROWS = 20_000  # of which the first batch is drawn, as the job draws it

V = TypeVar("V")


def shortened(train: Mapping[str, V]) -> dict[str, V | int]:
    """The settings of a rehearsal: the job's own, but for how long it goes on.

    >>> shortened({"max_length": 64, "num_train_epochs": 3.0, "gradient_accumulation_steps": 8})
    {'max_length': 64, 'max_steps': 1, 'gradient_accumulation_steps': 1, 'logging_steps': 1}
    """
    lasting = ("num_train_epochs", "max_steps", "gradient_accumulation_steps", "eval_steps")
    kept = {name: value for name, value in train.items() if name not in lasting}
    return {**kept, "max_steps": 1, "gradient_accumulation_steps": 1, "logging_steps": 1}


def problem_of(metrics: Mapping[str, float | str]) -> str:
    """What is wrong with a rehearsal that went to its end, or nothing."""
    for name in ("train_loss", "eval_loss"):
        loss = metrics.get(name, 0.0)
        if isinstance(loss, float) and not math.isfinite(loss):
            return f"the {name} of the first batch is {loss}: a smaller learning_rate may help"
    return ""
