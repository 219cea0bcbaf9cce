"""Figures of any training."""

from __future__ import annotations

import math


def mean_loss(log_history: list[dict[str, float]]) -> float | None:
    """Mean training loss over all steps: each log entry is the mean since the one before.

    >>> mean_loss([{"step": 2, "loss": 4.0}, {"step": 2, "eval_loss": 9.0}, {"step": 3, "loss": 1}])
    3.0
    """
    total, last = 0.0, 0.0
    for entry in log_history:
        if "loss" in entry:
            total += entry["loss"] * (entry["step"] - last)
            last = entry["step"]
    return total / last if last else None


def perplexity(loss: float) -> float:
    """How many tokens the model hesitates between: exp of the mean loss of a token.

    >>> perplexity(0.0), perplexity(1e6)
    (1.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
