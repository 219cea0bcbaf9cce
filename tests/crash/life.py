"""A process that may be killed: every effect that it has on the world is a point to die at."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_FILE_EVENTS = {"os.rename": 1, "os.link": 1, "os.remove": 0, "os.mkdir": 0}  # argument: the name


class Killed(BaseException):
    """SIGKILL, as far as a process can play it on itself: nothing catches it, nothing follows."""


class Life:
    """Counts the points that a process passes, and ends it at the chosen one."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.passed: list[str] = []
        self.died_at = ""

    def point(self, name: str) -> None:
        """Live on, or die here. A dead process has no further effect either."""
        if not self.died_at and len(self.passed) == self.dies_at:
            self.died_at = name
        if self.died_at:
            raise Killed(self.died_at)
        self.passed.append(name)

    def around(self, name: str, effect: Callable[[], T]) -> T:
        """An effect between two points, whether it succeeds or fails."""
        self.point(f"before {name}")
        try:
            result = effect()
        except Exception:
            self.point(f"after failed {name}")
            raise
        self.point(f"after {name}")
        return result


class FileWatch:
    """Makes each new name below a folder, and each one removed there, a point of a life.

    An audit hook cannot be taken out again: one is installed, and idles while nobody lives.
    """

    def __init__(self) -> None:
        self._life: Life | None = None
        self._folder = ""
        self._installed = False

    @contextmanager
    def of(self, life: Life, folder: Path) -> Iterator[None]:
        """Within the block this life makes and removes names, and whose it was before waits."""
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._on_event)
        before = (self._life, self._folder)
        self._life, self._folder = life, str(folder)
        try:
            yield
        finally:
            self._life, self._folder = before

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._life is None or event not in _FILE_EVENTS:
            return
        path = arguments[_FILE_EVENTS[event]]
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if event == "os.mkdir" and any("os.mkdir" in name for name in self._life.passed[-1:]):
            return  # most of them find the folder there
        if not text.startswith("/") or text.startswith(self._folder):
            self._life.point(f"before {event} {os.path.basename(text)}")  # noqa: PTH119 - no more hooks


FILES = FileWatch()

_FIRST, _LAST = 4, 2  # of each point
_FIRST_GAPS, _LAST_GAPS = 2, 1  # of each pair of points


def deaths(passed: list[str]) -> list[int]:
    """The points at which a death can make a difference.

    Between the end of one effect and the beginning of the next a process only thinks, so dying at
    either point is the same. Of what a long wait repeats, the first and the last times count; but
    a read is called the same however much lies behind it, so each gap counts by both its ends too.
    """
    points: dict[str, list[int]] = {}
    gaps: dict[tuple[str, str], list[int]] = {}
    for number, (earlier, name) in enumerate(itertools.pairwise(["", *passed])):
        if name.startswith("before") and earlier.startswith("after"):
            gaps.setdefault((earlier, name), []).append(number - 1)
        else:
            points.setdefault(name, []).append(number)
    chosen = [one for known in points.values() for one in (*known[:_FIRST], *known[-_LAST:])]
    for known in gaps.values():
        chosen += [*known[:_FIRST_GAPS], *known[-_LAST_GAPS:]]
    return sorted(set(chosen))
