"""Labelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.records import first_of, read_records
from training.settings import fail

TEXT_COLUMNS = ("text", "sentence", "content", "prompt")
LABEL_COLUMNS = ("label", "category", "target", "class")


@dataclass(frozen=True, slots=True)
class Rows:
    """The texts of one file, with the label of each."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, n: int) -> Rows:
        """The first `n` rows."""
        return Rows(self.texts[:n], self.labels[:n])


def read_rows(path: Path, columns: Mapping[str, str]) -> Rows:
    """All rows of a file; without a column's name the usual ones are tried."""
    texts: list[str] = []
    labels: list[str] = []
    text_column, label_column = columns.get("text"), columns.get("label")
    for line, row in read_records(path):
        if not texts:
            text_column = text_column or first_of(TEXT_COLUMNS, row)
            label_column = label_column or first_of(LABEL_COLUMNS, row)
        text, label = row.get(text_column or "text"), row.get(label_column or "label")
        if not isinstance(text, str) or not text.strip():
            fail(f"{path.name}:{line}: no text in column {text_column or 'text'!r}")
        if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
            fail(f"{path.name}:{line}: no label in column {label_column or 'label'!r}")
        texts.append(text)
        labels.append(str(label))
    if not texts:
        fail(f"{path.name}: no rows")
    return Rows(texts, labels)


def label_names(labels: list[str]) -> list[str]:
    """The distinct labels in order: their place is the class number of the model.

    >>> label_names(["10", "9", "10"]), label_names(["b", "a"])
    (['9', '10'], ['a', 'b'])
    """
    distinct = set(labels)
    if all(name.isdecimal() for name in distinct):
        return sorted(distinct, key=int)
    return sorted(distinct)
