"""What a page is made of; `render.py` puts it on a terminal. Texts need not be clean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How a text is meant."""

    PLAIN = ""
    HEADING = "heading"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or a cell that is more than plain. `unbroken` lines can be copied whole.

    Two spaces separate phrases: a line that is too long is broken there first.
    """

    text: str
    tone: Tone = Tone.PLAIN
    unbroken: bool = False


Cell = str | Text


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and what they say; a row whose text is empty is left out."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; a heading that begins with `>` is a column of figures.

    Where not all columns have room the last `about` of them are told in one, each cell before the
    name of its column: "850 Mbit/s, verified trust".
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    about: int = 0


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    sentences: tuple[str, ...]
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Bar:
    """How far something is."""

    done: float
    total: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """How a figure went: points (x, y) by rising x, drawn in one line, and what it says."""

    points: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars under each other, as long as their values: a label, the value, and what it says."""

    rows: tuple[tuple[str, float, str], ...]


Block = Text | Facts | Table | Bullets | Bar | Line | Chart


def heading(text: str) -> Text:
    return Text(text, Tone.HEADING)


def section(title: str, *blocks: Block) -> list[Block]:
    """A titled part of a page; nothing when its blocks hold nothing."""
    return [heading(title), *blocks] if any(holds(block) for block in blocks) else []


def holds(block: Block) -> bool:
    """Whether there is anything to print."""
    match block:
        case Facts(rows):
            return any(cell if isinstance(cell, str) else cell.text for _, cell in rows)
        case Table(_, rows):
            return bool(rows)
        case Bullets(sentences):
            return bool(sentences)
        case Chart(rows):
            return bool(rows)
        case Line(points):
            return len(points) > 1
        case Text(text):
            return bool(text)
        case Bar():
            return True
