"""How good a classifier is, by numpy alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray


def accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of rows that are right."""
    return float(np.mean(predicted == truth))


def macro_f1(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur in either, each counting the same.

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]))
    0.6666666666666666
    """
    scores = []
    for label in np.union1d(predicted, truth):
        hits = int(np.sum((predicted == label) & (truth == label)))
        scores.append(2 * hits / int(np.sum(predicted == label) + np.sum(truth == label)))
    return float(np.mean(scores))


def majority_class_accuracy(train_labels: list[str], eval_labels: list[str]) -> float:
    """What always answering train's most frequent label would reach on the eval rows.

    >>> majority_class_accuracy(["a", "a", "b"], ["a", "b", "b", "b"])
    0.25
    """
    most_frequent = Counter(train_labels).most_common(1)[0][0]
    return eval_labels.count(most_frequent) / len(eval_labels)
