"""Labelled texts from .jsonl, .json, .csv and .tsv."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from settings import fail

TEXT_COLUMNS = ("text", "sentence", "content", "prompt")
LABEL_COLUMNS = ("label", "category", "target", "class")

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Rows:
    """The texts of one file, with the label of each."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(path: Path, text_column: str | None, label_column: str | None) -> Rows:
    """All rows of a file; without a column's name the usual ones are tried."""
    texts: list[str] = []
    labels: list[str] = []
    csv.field_size_limit(64 << 20)
    for line, row in _records(path):
        if not isinstance(row, dict):
            fail(f"{path.name}:{line}: a row must be an object")
        if not texts:
            text_column = text_column or _first_of(TEXT_COLUMNS, row)
            label_column = label_column or _first_of(LABEL_COLUMNS, row)
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


def _first_of(known: tuple[str, ...], row: dict[str, object]) -> str | None:
    by_folded = {name.casefold(): name for name in reversed([n for n in row if n is not None])}
    return next((by_folded[word] for word in known if word in by_folded), None)


def _records(path: Path) -> Iterator[tuple[int, object]]:
    suffix = path.suffix.lower()
    with path.open(encoding="utf-8-sig", newline="") as handle:
        try:
            if suffix in _DELIMITERS:
                reader = csv.DictReader(handle, delimiter=_DELIMITERS[suffix])
                for row in reader:
                    yield reader.line_num, dict(row)
            elif suffix == ".json":
                document = json.load(handle)
                if not isinstance(document, list):
                    fail(f"{path.name}: must be a list of rows")
                yield from enumerate(document, start=1)
            else:
                for line, text in enumerate(handle, start=1):
                    if text.strip():
                        yield line, json.loads(text)
        except json.JSONDecodeError as error:
            where = error.lineno if suffix == ".json" else line
            fail(f"{path.name}:{where}: not valid JSON: {error.msg}")
        except (csv.Error, UnicodeDecodeError) as error:
            fail(f"{path.name}: {error}")
