"""Rows of .jsonl, .json, .csv and .tsv, each with its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from training.settings import fail

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(line, row) of every row; of a .json file the place in the list. Ends the program."""
    csv.field_size_limit(64 << 20)
    for line, row in _records(path):
        if not isinstance(row, dict):
            fail(f"{path.name}:{line}: a row must be an object")
        yield line, row


def first_of(known: tuple[str, ...], row: dict[str, object]) -> str | None:
    """The column of `row` that has one of the known names, whatever its case."""
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
