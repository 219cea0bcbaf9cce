"""Follow a run to its end, or until Ctrl-C: the run goes on either way."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.cli.exit_codes import ExitCode, exit_code_of
from orchestrator.cli.interrupt import ctrl_c_waits
from orchestrator.cli.run_page import not_returned_text, run_page
from orchestrator.cli.session import Session
from orchestrator.cli.watchers import Watcher, watcher_for
from orchestrator.clock import Clock
from orchestrator.runs.states import State
from orchestrator.runs.view import RunView

RETURN_LIMIT_S = 600.0


@dataclass
class ReturnWatch:
    """Says when a machine has been on its way back for too long without proof."""

    clock: Clock
    _since_s: float | None = None

    def overdue(self, view: RunView) -> bool:
        if view["state"] != State.RETURNING or view["returned"]["proven"]:
            self._since_s = None
            return False
        now_s = self.clock.elapsed_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        return now_s - self._since_s >= RETURN_LIMIT_S


def follow(session: Session, run_id: str, *, attached: bool) -> int:
    """Show the run until it ended, then its receipt.

    Args:
        attached: this is `attach`: log lines go to stdout, JSON is a stream of lines.

    Returns: the run's exit code; 7 when its machine is not proven gone 10 minutes after it was
    asked to go; 130 on Ctrl-C.
    """
    session.run_id = run_id
    stream = attached and session.options.json
    try:
        with watcher_for(session, attached) as watcher:
            view, overdue = _watch(session, run_id, watcher)
    except KeyboardInterrupt:
        session.note(f"the run goes on: gpulease attach {run_id}")
        if session.options.json and not attached:
            session.emit(dict(session.app.view(run_id)))
        return ExitCode.DETACHED
    if not stream:
        session.result(dict(view), run_page(view))
    code = ExitCode.NOT_RETURNED if overdue else exit_code_of(view)
    if code == ExitCode.NOT_RETURNED:
        session.alarm(
            not_returned_text(view),
            f"gpulease machines shows it; look at the provider's console too. When you saw it"
            f" gone: gpulease close {run_id} --seen-gone",
        )
    if overdue:
        session.note(f"the driver goes on asking: gpulease attach {run_id}")
    return code


def _watch(session: Session, run_id: str, watcher: Watcher) -> tuple[RunView, bool]:
    """The last view, and whether the machine's return is overdue."""
    app = session.app
    returning = ReturnWatch(session.clock)
    reader = _LogReader(session, run_id, watcher)
    try:
        for view in app.follow(run_id):
            reader.show_new()
            watcher.show(view)
            if returning.overdue(view):
                return view, True
        reader.show_new()
        view = app.view(run_id)
        watcher.show(view)
        return view, False
    finally:
        reader.note_seen()


class _LogReader:
    """Shows each line of a run's log once, over all who follow it one after another."""

    def __init__(self, session: Session, run_id: str, watcher: Watcher) -> None:
        self._session = session
        self._run_id = run_id
        self._watcher = watcher
        self._offset = self._seen()

    def show_new(self) -> None:
        """The lines that came since, or the last of them and how many more there are."""
        watcher = self._watcher
        if not watcher.with_log:
            return
        new = self._session.app.log_lines(self._run_id, follow=False, offset=self._offset)
        if watcher.most_lines is None:
            for after, line in new:
                self._show(after, line)
            return
        lines: deque[tuple[int, str]] = deque(maxlen=watcher.most_lines)
        count = 0
        for numbered in new:
            lines.append(numbered)
            count += 1
        if count > len(lines):
            skipped = f"... {count - len(lines)} lines more: gpulease logs {self._run_id}"
            watcher.line(self._offset, skipped)
        for after, line in lines:
            self._show(after, line)

    def note_seen(self) -> None:
        """Leave word for whoever follows this run next."""
        if file := self._session.seen_file:
            with ctrl_c_waits(), suppress(OSError):  # a convenience only
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(str(self._offset))

    def _show(self, after: int, line: str) -> None:
        with ctrl_c_waits():  # a line counts as seen exactly when it was shown
            self._watcher.line(after, line)
            self._offset = after

    def _seen(self) -> int:
        """How far the log was shown before, by whatever followed this run last."""
        file = self._session.seen_file
        try:
            return int(file.read_text()) if file else 0
        except (OSError, ValueError):
            return 0
