"""How a run is shown as it goes: on a terminal, in plain lines, in JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.cli.run_page import plain_status, status_blocks
from orchestrator.cli.session import Session
from orchestrator.runs.view import RunView

if TYPE_CHECKING:
    from orchestrator.cli.render import LiveBlocks

_PLAIN_EVERY_S = 5.0
_TERMINAL_LINES = 200


class Watcher(Protocol):
    """Somebody who is shown a run as it goes."""

    @property
    def with_log(self) -> bool:
        """Whether log lines are shown; what was not shown is left for the next `attach`."""

    @property
    def most_lines(self) -> int | None:
        """Of the log, each time the view changes; None: all of them."""

    def show(self, view: RunView) -> None:
        """The run has changed."""

    def line(self, offset: int, text: str) -> None:
        """One more line of the log, which ends at `offset`."""


@dataclass
class TerminalWatcher:
    """Lines that stay, and the state of the run below them."""

    live: LiveBlocks
    with_log: bool = True
    most_lines: int | None = _TERMINAL_LINES

    def show(self, view: RunView) -> None:
        self.live.show(status_blocks(view))

    def line(self, offset: int, text: str) -> None:
        self.live.line(text)


@dataclass
class PlainWatcher:
    """One line on stderr for each change of state, and now and then for progress."""

    session: Session
    with_log: bool
    most_lines: int | None = None
    _told: tuple[object, ...] = ()
    _told_at_s: float = -_PLAIN_EVERY_S

    def show(self, view: RunView) -> None:
        now_s = self.session.clock.awake_s()
        state = (view["state"], view["waiting"], tuple(view["notes"]))
        news = (*state, view["progress"].get("step"))
        late = now_s - self._told_at_s >= _PLAIN_EVERY_S
        if news[:1] == self._told[:1] and not (late and news != self._told):
            return
        told_notes = self._told[2] if self._told else ()
        assert isinstance(told_notes, tuple)
        for note in view["notes"]:
            if note not in told_notes:
                self.session.note(f"{view['name']}: {note}")
        self.session.note(plain_status(view))
        self._told, self._told_at_s = news, now_s

    def line(self, offset: int, text: str) -> None:
        self.session.line(text)


@dataclass
class JsonWatcher:
    """JSON lines on stdout: {"event": "log" | "run", …}."""

    session: Session
    with_log: bool = True
    most_lines: int | None = None
    _told: str = ""

    def show(self, view: RunView) -> None:
        told = repr(view)
        if told != self._told:
            self.session.emit({"event": "run", **view})
            self._told = told

    def line(self, offset: int, text: str) -> None:
        self.session.emit({"event": "log", "offset": offset, "line": text})


@contextmanager
def watcher_for(session: Session, attached: bool) -> Iterator[Watcher]:
    """Who watches here; `attached` is `attach`, whose lines are its answer."""
    if attached and session.options.json:
        yield JsonWatcher(session)
    elif session.options.json or not _redraws(attached):
        yield PlainWatcher(session, with_log=attached)
    else:
        from orchestrator.cli.render import LiveBlocks

        with LiveBlocks(sys.stderr, color=not session.options.no_color) as live:
            yield TerminalWatcher(live)


def _redraws(attached: bool) -> bool:
    """Whether what is on the screen can be drawn anew."""
    streams = (sys.stderr, sys.stdout) if attached else (sys.stderr,)
    is_dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return not is_dumb and all(stream.isatty() for stream in streams)
