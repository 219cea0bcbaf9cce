"""Blocks on a terminal, a pipe or a file. The only module that knows rich."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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
    Table,
    Text,
    Tone,
    holds,
)
from orchestrator.cli.clean import clean, clean_line

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


def console_of(stream: IO[str]) -> Console:
    """A console that interprets nothing in the texts it is given; NO_COLOR and COLUMNS count."""
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def print_blocks(stream: IO[str], blocks: Iterable[Block]) -> None:
    """A page: headings stand at the margin with an empty line above, all else is indented."""
    console = console_of(stream)
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

    def __init__(self, stream: IO[str]) -> None:
        self._console = console_of(stream)
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
            return Padding(styled, (0, 0, 0, _INDENT))
        case Facts(rows):
            grid = Grid.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True, style="dim")
            grid.add_column(overflow="fold")
            for label, cell in rows:
                if cell if isinstance(cell, str) else cell.text:
                    grid.add_row(_styled(label), _styled(cell))
        case Table(headings, rows):
            return Padding(_Columns(headings, rows), (0, 0, 0, _INDENT), expand=False)
        case Bullets(sentences, tone):
            grid = Grid.grid(padding=(0, 1, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for sentence in sentences:
                grid.add_row("-", _styled(Text(sentence, tone)))
        case Bar(done, total, text):
            grid = Grid.grid(padding=(0, 2, 0, 0))
            grid.add_column(width=_BAR_WIDTH)
            grid.add_column(overflow="fold")
            bar = ProgressBar(total=total or 1, completed=min(done, total or 1), width=_BAR_WIDTH)
            grid.add_row(bar, _styled(text))
        case Chart(rows):
            grid = Grid.grid(padding=(0, 1, 0, 0))
            most = max((value for _, value, _ in rows), default=0.0)
            for label, value, text in rows:
                grid.add_row(_styled(label), _chart_bar(value, most), _styled(text))
    return Padding(grid, (0, 0, 0, _INDENT), expand=False)


@dataclass(frozen=True, slots=True)
class _Columns:
    """A table that breaks sentences, and words only where there is no room for them."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        cells = [list(map(_styled, row)) for row in self.rows]
        names = [heading.lstrip(">") for heading in self.headings]
        texts = [[name, *(row[n].plain for row in cells)] for n, name in enumerate(names)]
        longest = [max(map(len, " ".join(column).split()), default=0) for column in texts]
        roomy = sum(longest) + _GAP * (len(names) - 1) <= options.max_width
        grid = Grid(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for heading, name, column in zip(self.headings, names, texts, strict=True):
            grid.add_column(
                name,
                justify="right" if heading.startswith(">") else "left",
                overflow="fold",
                no_wrap=roomy and not any(" " in text for text in column),
            )
        for row in cells:
            grid.add_row(*row)
        yield grid


def _chart_bar(value: float, most: float) -> Styled:
    """Eighths of a character, so that small values still differ.

    >>> _chart_bar(1, 60).plain, _chart_bar(2, 60).plain, len(_chart_bar(60, 60).plain)
    ('▌', '█', 30)
    """
    eighths = round(_BAR_WIDTH * 8 * value / most) if most > 0 else 0
    return Styled("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip(), style="cyan")


def _styled(cell: Cell) -> Styled:
    if isinstance(cell, str):
        return Styled(clean(cell))
    return Styled(clean(cell.text), style=_STYLES[cell.tone])
