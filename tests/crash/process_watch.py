"""What a watched command notes of itself: its store writes, files and child processes.

Runs inside the command. Python's own audit events and SQLAlchemy's own events tell everything, so
that the product needs no hook. Its calls to a provider are seen by `process_relay.py`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.process_points import AFTER, AHEAD, BEFORE, POINT, TALLY, Point, Tally

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.engine.interfaces import DBAPICursor

_WORDS = ("driver", "submit", "attach", "cancel")
_NOT_DATA = ("driver.lock", "driver.log", "gpulease.sqlite")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_VARYING = re.compile(
    r"(?<=runs/)[0-9a-z]{8}|(?<=seen/)[0-9a-z]{8}|(?<=known_hosts\.)[^.]+"
    r"|(?<=pace/lambda-)[0-9a-f]+|[0-9a-f]{64}(?=\.part)|(?<=\.)[0-9a-f]{8,16}$"
)
_CHANGES = re.compile(r"(?:INSERT INTO|UPDATE) (\w+)")


def who_am_i(words: Sequence[str]) -> str:
    """The command's word in an argument list; empty for another program."""
    if "orchestrator" not in words:
        return ""
    return next((word for word in words if word in _WORDS), "")


def watch() -> None:
    """Note everything from here on, and die where it was asked for."""
    who = who_am_i(sys.orig_argv)
    if who and TALLY in os.environ:
        point = Point.parse(os.environ[POINT]) if os.environ.get(POINT) else None
        tally = Tally(Path(os.environ[TALLY]), point)
        sys.addaudithook(_Watch(who, tally, os.environ["GPULEASE_HOME"]))
        _read_wall_clock(os.environ[AHEAD])


def _read_wall_clock(ahead: str) -> None:
    """Let this process alone see that the computer's clock was set, as settimeofday would all."""
    wall_s = time.time

    def set_s() -> float:
        try:
            return float(Path(ahead).read_text())
        except OSError:
            return 0.0

    time.time = lambda: wall_s() + set_s()


class _Watch:
    def __init__(self, who: str, tally: Tally, home: str) -> None:
        self._who = who
        self._tally = tally
        self._home = home.rstrip("/") + "/"
        self._listens = False
        self._changes = threading.local()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._file("write", path)
        elif event in ("os.rename", "os.link"):
            self._file("name", arguments[1])
        elif event == "subprocess.Popen":
            self._meet(f"start {Path(os.fsdecode(str(arguments[0]))).name}", BEFORE)
        elif event == "sqlite3.connect" and not self._listens:
            self._listens = True
            self._listen()

    def _meet(self, act: str, moment: str) -> None:
        self._tally.meet(self._who, act, moment, os.getpid())

    def _file(self, verb: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        if name.startswith("/"):
            if not name.startswith(self._home):
                return
            name = name.removeprefix(self._home)
        if not name.startswith(_NOT_DATA):  # a name without a folder is below a folder of home
            self._meet(f"{verb} {_VARYING.sub('*', name)}", BEFORE)

    def _listen(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        event.listen(Engine, "commit", lambda connection: self._meet("commit schema", BEFORE))

    def _before(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: object,
        context: DefaultExecutionContext | None,
        many: bool,
    ) -> None:
        if statement.startswith("BEGIN"):
            self._changes.said = {}
        elif change := _CHANGES.match(statement):
            values = context.compiled_parameters[0] if context is not None else {}
            state = values.get("state", "wish") if change[1] == "runs" else ""
            self._said()[change[1]] = f"{change[1]} {state}".strip()
        elif statement == "COMMIT":
            self._meet(self._commit(), BEFORE)

    def _after(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: object,
        context: DefaultExecutionContext | None,
        many: bool,
    ) -> None:
        if statement == "COMMIT":
            self._meet(self._commit(), AFTER)

    def _said(self) -> dict[str, str]:
        if not hasattr(self._changes, "said"):
            self._changes.said = {}
        said: dict[str, str] = self._changes.said
        return said

    def _commit(self) -> str:
        return "commit " + ", ".join(sorted(self._said().values()))
