"""Rows of a data file, one by one with the line that each starts in: .jsonl, .json, .csv, .tsv."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

from orchestrator.spec.nearest import quoted

Row: TypeAlias = dict[str, object]

MAX_JSON_BYTES = 1 << 30  # one JSON document is parsed in memory; rows of .jsonl are not

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class BadRow(Exception):
    """One row cannot be read; the next one may."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class BadFile(BadRow):
    """Nothing after this line can be read."""


@dataclass(slots=True)
class DataFile:
    """One pass over a file; the figures are complete when `rows` is exhausted."""

    path: Path
    max_line_bytes: int = 64 << 20
    size_bytes: int = 0
    has_byte_order_mark: bool = False
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        """(line, row), or the BadRow in its place; a BadFile is the last one.

        Blank lines are skipped. Raises: OSError.
        """
        suffix = self.path.suffix.lower()
        try:
            with self.path.open("rb") as handle:
                if suffix in _DELIMITERS:
                    yield from self._delimited(handle, _DELIMITERS[suffix])
                elif suffix == ".json":
                    yield from self._document(handle)
                else:
                    yield from self._lines_of_json(handle)
        except BadFile as bad:
            yield bad.line, bad

    def read_through(self) -> None:
        """Only measure and hash. Raises: OSError."""
        with self.path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                self._count(chunk)

    def _lines_of_json(self, handle: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
        for number, raw in self._lines(handle):
            if not raw.strip():
                continue
            try:
                yield number, _parse_row(_decode(raw.rstrip(b"\r\n"), number), number)
            except BadRow as bad:
                yield number, bad

    def _delimited(self, handle: BinaryIO, delimiter: str) -> Iterator[tuple[int, Row | BadRow]]:
        csv.field_size_limit(self.max_line_bytes)
        lines = (_decode_or_end(raw, number) for number, raw in self._lines(handle))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        names: list[str] = []
        started = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise BadFile(max(started, reader.line_num), f"not valid CSV: {error}") from error
            if not cells:
                pass
            elif not names:
                names = _header(cells, started)
            elif len(cells) == len(names):
                yield started, dict(zip(names, cells, strict=True))
            else:
                text = f"{len(cells)} cells where the header has {len(names)}"
                yield started, BadRow(started, text)
            started = reader.line_num + 1

    def _document(self, handle: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
        raw = handle.read(MAX_JSON_BYTES + 1)
        if len(raw) > MAX_JSON_BYTES:
            raise BadFile(1, "larger than 1 GiB: write one row a line, as .jsonl")
        self._count(raw)
        text = _decode_or_end(self._without_mark(raw), 1)
        items = _JsonItems(text)
        for line, item in items:
            if isinstance(item, dict):
                yield line, item
            else:
                yield line, BadRow(line, "a row must be an object, {…}")

    def _lines(self, handle: BinaryIO) -> Iterator[tuple[int, bytes]]:
        number = 0
        while raw := handle.readline(self.max_line_bytes + 1):
            number += 1
            self._count(raw)
            if len(raw) > self.max_line_bytes:
                raise BadFile(number, f"a line longer than {self.max_line_bytes} bytes")
            yield number, self._without_mark(raw) if number == 1 else raw

    def _without_mark(self, raw: bytes) -> bytes:
        if raw.startswith(_UTF16):
            raise BadFile(1, "UTF-16 text: save it as UTF-8")
        if raw.startswith(codecs.BOM_UTF8):
            self.has_byte_order_mark = True
            return raw[len(codecs.BOM_UTF8) :]
        return raw

    def _count(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self._hash.update(chunk)


class _JsonItems:
    """The items of one JSON list with their lines, parsed one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0

    def __iter__(self) -> Iterator[tuple[int, object]]:
        if not self._text.strip():
            return
        self._expect("[", "a .json file must be a list of rows, [{…}, …]")
        while self._peek() != "]":
            line = self._line_here()
            yield line, self._item()
            if self._peek() != "]":
                self._expect(",", "expected , or ] after a row")
                if self._peek() == "]":
                    raise BadFile(self._line_here(), "expected a row after the comma")
        self._at += 1
        if self._peek():
            raise BadFile(self._line_here(), "text after the end of the list")

    def _item(self) -> object:
        try:
            item, self._at = json.JSONDecoder().raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise BadFile(error.lineno, f"not valid JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise BadFile(self._line_here(), "JSON that nobody should nest or count") from error
        return item

    def _expect(self, sign: str, problem: str) -> None:
        if self._peek() != sign:
            raise BadFile(self._line_here(), problem)
        self._at += 1
        self._peek()

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _parse_row(text: str, line: int) -> Row:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadRow(line, f"not valid JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise BadRow(line, "JSON that nobody should nest or count") from error
    if not isinstance(row, dict):
        raise BadRow(line, "a row must be an object, {…}")
    return row


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadFile(line, f"column {quoted(twice[0])} is in the header twice")
    return names


def _decode(raw: bytes, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRow(line, f"not UTF-8 text (byte {error.start + 1})") from error


def _decode_or_end(raw: bytes, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        at = line + raw.count(b"\n", 0, error.start)
        raise BadFile(at, f"not UTF-8 text (byte {error.start + 1})") from error
