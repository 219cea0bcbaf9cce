"""Blocks on a terminal, a pipe or a file. The only module that knows rich."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text as Styled

from orchestrator.cli.blocks import (
    Bar,
    Block,
    Bullets,
    Cell,
    Chart,
    Facts,
    Line,
    Table,
    Text,
    Tone,
    holds,
)
from orchestrator.cli.clean import clean, clean_line
from orchestrator.cli.figures import ASCII_LEVELS, LEVELS, sparkline

_STYLES = {
    Tone.PLAIN: "",
    Tone.HEADING: "bold",
    Tone.GOOD: "green",
    Tone.WARN: "yellow",
    Tone.BAD: "bold red",
    Tone.DIM: "dim",
}
_PIPE_WIDTH = 120
_BAR_WIDTH = 30
_INDENT = 2
_GAP = 2  # between columns
_SENTENCE_WIDTH = 14  # the least for a column of sentences
_NONE = ("", "-")  # cells that tell nothing


def console_of(stream: IO[str], *, color: bool = True) -> Console:
    """A console that interprets nothing in the texts it is given; NO_COLOR and COLUMNS count."""
    no_color = None if color else True
    console = Console(file=stream, markup=False, emoji=False, highlight=False, no_color=no_color)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def print_blocks(stream: IO[str], blocks: Iterable[Block], *, color: bool = True) -> None:
    """A page: headings stand at the margin with an empty line above, all else is indented."""
    console = console_of(stream, color=color)
    with console.capture() as captured:
        for number, block in enumerate(block for block in blocks if holds(block)):
            if number and isinstance(block, Text) and block.tone is Tone.HEADING:
                console.print()
            unbroken = isinstance(block, Text) and block.unbroken
            console.print(to_renderable(block), soft_wrap=unbroken)
    stream.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    stream.flush()


class LiveBlocks:
    """Blocks that are redrawn in place at the foot of a terminal, below lines that stay."""

    def __init__(self, stream: IO[str], *, color: bool = True) -> None:
        self._console = console_of(stream, color=color)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, blocks: Sequence[Block]) -> None:
        parts = [to_renderable(block) for block in blocks if holds(block)]
        self._live.update(Group(*parts), refresh=True)

    def line(self, text: str) -> None:
        """One line above the blocks, for good."""
        self._console.print(Styled(clean_line(text)), soft_wrap=True)


def to_renderable(block: Block) -> RenderableType:
    """One block in rich's terms."""
    match block:
        case Text(text, tone, unbroken):
            styled = _styled(block)
            if tone is Tone.HEADING or unbroken:
                return styled
            return _indented(_Phrases(styled))
        case Facts(rows):
            grid = Grid.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True, style="dim")
            grid.add_column(overflow="fold")
            for label, cell in rows:
                if cell if isinstance(cell, str) else cell.text:
                    grid.add_row(_styled(label), _styled(cell))
        case Table(headings, rows, about):
            return _indented(_Columns(headings, rows, about))
        case Bullets(sentences, tone):
            grid = Grid.grid(padding=(0, 1, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for sentence in sentences:
                grid.add_row("-", _styled(Text(sentence, tone)))
        case Bar(done, total, text):
            most = total or 1
            return _indented(
                _Drawn(lambda width, _: ProgressBar(most, min(done, most), width=width), text)
            )
        case Line(points, text):
            return _indented(_Drawn(lambda width, plain: _line(points, width, plain), text))
        case Chart(rows):
            return _indented(_Bars(rows))
    return _indented(grid)


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, _INDENT), expand=False)


@dataclass(frozen=True, slots=True)
class _Phrases:
    """A text that is broken between its phrases, and inside one only where it must be."""

    text: Styled

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        line = Styled(style=self.text.style)
        for phrase in self.text.split("  "):
            if line and line.cell_len + _GAP + phrase.cell_len > options.max_width:
                yield line
                line = Styled(style=self.text.style)
            line = Styled("  ").join([line, phrase]) if line else phrase
        yield line


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A figure with words beside it, or below it where the line is too short for both."""

    draw: Callable[[int, bool], RenderableType]  # width, and whether only ASCII can be shown
    text: str

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        words = _styled(self.text)
        if _BAR_WIDTH + _GAP + words.cell_len <= options.max_width:
            grid = Grid.grid(padding=(0, _GAP, 0, 0))
            grid.add_column(width=_BAR_WIDTH)
            grid.add_column()
            grid.add_row(self.draw(_BAR_WIDTH, options.ascii_only), words)
            yield grid
            return
        figure = Grid.grid()
        figure.add_row(self.draw(min(_BAR_WIDTH, options.max_width), options.ascii_only))
        yield figure
        yield _Phrases(words)


@dataclass(frozen=True, slots=True)
class _Bars:
    """Labels, bars as long as their values, and what they say; the bars give way."""

    rows: Sequence[tuple[str, float, str]]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        grid = Grid.grid(padding=(0, 1, 0, 0))
        most = max(value for _, value, _ in self.rows)
        words = max(len(label) + len(text) for label, _, text in self.rows)
        room = max(1, min(_BAR_WIDTH, options.max_width - words - _GAP))
        for label, value, text in self.rows:
            grid.add_row(
                _styled(label), _chart_bar(value, most, room, options.ascii_only), _styled(text)
            )
        yield grid


@dataclass(frozen=True, slots=True)
class _Columns:
    """A table that breaks sentences, and no word.

    Without room for that its last columns become one; without room for that too, it is a list.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    about: int = 0  # of the last columns

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        cells = [list(map(_styled, row)) for row in self.rows]
        names = [heading.lstrip(">") for heading in self.headings]
        texts = [[name, *(row[n].plain for row in cells)] for n, name in enumerate(names)]
        needed = sum(map(_least_width, texts)) + _GAP * (len(names) - 1)
        if needed > options.max_width:
            yield self._narrower() if self.about else _as_list(names, cells)
            return
        grid = Grid(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for heading, name, column in zip(self.headings, names, texts, strict=True):
            grid.add_column(
                name,
                justify="right" if heading.startswith(">") else "left",
                overflow="fold",
                no_wrap=not any(" " in text for text in column),
                min_width=_least_width(column),
            )
        for row in cells:
            grid.add_row(*row)
        yield grid

    def _narrower(self) -> _Columns:
        kept = len(self.headings) - self.about
        names = [heading.lstrip(">") for heading in self.headings[kept:]]
        rows = [[*row[:kept], _together(names, row[kept:])] for row in self.rows]
        return _Columns([*self.headings[:kept], "about"], rows)


def _together(names: Sequence[str], row: Sequence[Cell]) -> str:
    """Cells in one sentence.

    >>> _together(["trust", "Mbit/s", "stock"], ["verified", "850", "-"])
    'verified trust, 850 Mbit/s'
    """
    texts = [cell if isinstance(cell, str) else cell.text for cell in row]
    told = [f"{text} {name}" for name, text in zip(names, texts, strict=True) if text not in _NONE]
    return ", ".join(told)


def _least_width(column: Sequence[str]) -> int:
    """Characters that a column must have to be read: its words, and a few of them in a line."""
    words = max((len(word) for text in column for word in text.split()), default=0)
    return max(words, min(_SENTENCE_WIDTH, max(map(len, column))))


def _as_list(names: Sequence[str], rows: Sequence[Sequence[Styled]]) -> Grid:
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for number, row in enumerate(rows):
        if number:
            grid.add_row()
        for name, cell in zip(names, row, strict=True):
            if cell.plain not in _NONE:
                grid.add_row(*((name, cell) if name else (cell, "")))
    if len(rows) > 1:
        grid.add_row()
    return grid


def _chart_bar(value: float, most: float, width: int, ascii_only: bool = False) -> Styled:
    """Eighths of a character, so that small values still differ.

    >>> _chart_bar(1, 60, 30).plain, _chart_bar(2, 60, 30).plain, len(_chart_bar(60, 60, 9).plain)
    ('▌', '█', 9)
    """
    eighths = round(width * 8 * value / most) if most > 0 else 0
    if ascii_only:
        return Styled("#" * round(eighths / 8))
    return Styled("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip(), style="cyan")


def _line(points: Sequence[tuple[float, float]], width: int, ascii_only: bool) -> Styled:
    levels = ASCII_LEVELS if ascii_only else LEVELS
    return Styled(sparkline(points, min(width, len(points)), levels), style="cyan")


def _styled(cell: Cell) -> Styled:
    if isinstance(cell, str):
        return Styled(clean(cell))
    return Styled(clean(cell.text), style=_STYLES[cell.tone])
