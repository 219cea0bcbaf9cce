"""Lists that come page by page, read to their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestrator.errors import ProviderDown

_MOST_PAGES = 100

Row = TypeVar("Row")


def every_page(ask: Callable[[str], tuple[list[Row], str]], what: str) -> list[Row]:
    """Rows of every page, or an error: never a half list.

    Args:
        ask: gives the rows behind a mark, "" for the first page, and the next mark, "" at the end.
        what: the list's name, for a person.

    Raises: ProviderDown for a list that does not end; what `ask` raises.
    """
    rows: list[Row] = []
    marks = {""}
    mark = ""
    for _ in range(_MOST_PAGES):
        more, mark = ask(mark)
        rows += more
        if not mark:
            return rows
        if mark in marks:
            raise ProviderDown(f"{what} goes round in circles")
        marks.add(mark)
    raise ProviderDown(f"{what} does not end")
