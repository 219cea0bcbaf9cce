"""A terminal's screen as SVG. Pure."""

from __future__ import annotations

import io
import re
from itertools import groupby

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

_NAMES = {"brown": "yellow", "brightblack": "bright_black"}  # pyte's words → rich's


def to_text(screen: pyte.Screen) -> Text:
    """What the screen shows, in its colours, without the empty lines at its end."""
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text()
        for style, alike in groupby(cells, _style):
            line.append("".join(cell.data for cell in alike), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def to_svg(text: Text, title: str, *, columns: int) -> str:
    """A window with the text in it; it loads nothing from anywhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(text, soft_wrap=True)
    name = re.sub(r"\W+", "-", title)
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id=name)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def without_place(text: Text, folder: str) -> Text:
    """The text with `~` where a folder of this computer stands."""
    parts = text.split(folder, include_separator=False, allow_blank=True)
    return Text("~").join(parts)


def _style(char: Char) -> Style:
    color = None if char.fg == "default" else _NAMES.get(char.fg, char.fg)
    if color and re.fullmatch(r"[0-9a-f]{6}", color):
        color = f"#{color}"
    return Style(color=color, bold=char.bold or None)
