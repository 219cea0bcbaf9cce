"""Follow a run to its end, or until Ctrl-C: the run goes on either way."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from orchestrator.cli.exit_codes import ExitCode, exit_code_of
from orchestrator.cli.run_page import not_returned_text, run_page
from orchestrator.cli.session import Session
from orchestrator.cli.watchers import Watcher, watcher_for
from orchestrator.clock import Clock
from orchestrator.runs.states import State
from orchestrator.runs.view import RunView

RETURN_LIMIT_S = 600.0
_MOST_LINES = 200  # of the log, each time the view changes


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
    offset = _seen(session)
    try:
        for view in app.follow(run_id):
            offset = _show_log(session, run_id, offset, watcher)
            watcher.show(view)
            if returning.overdue(view):
                return view, True
        offset = _show_log(session, run_id, offset, watcher)
        view = app.view(run_id)
        watcher.show(view)
        return view, False
    finally:
        _note_seen(session, offset)


def _show_log(session: Session, run_id: str, offset: int, watcher: Watcher) -> int:
    if not watcher.with_log:
        return offset
    lines: list[tuple[int, str]] = []
    skipped = 0
    for after, line in session.app.log_lines(run_id, follow=False, offset=offset):
        lines.append((after, line))
        if len(lines) > _MOST_LINES and not session.options.json:
            lines.pop(0)
            skipped += 1
    if skipped:
        watcher.line(offset, f"... {skipped} lines more: gpulease logs {run_id}")
    for after, line in lines:
        watcher.line(after, line)
    return lines[-1][0] if lines else offset


def _seen(session: Session) -> int:
    """How far the log was shown before, by whatever followed this run last."""
    try:
        return int(session.seen_file.read_text()) if session.seen_file else 0
    except (OSError, ValueError):
        return 0


def _note_seen(session: Session, offset: int) -> None:
    if file := session.seen_file:
        with suppress(OSError):  # a convenience only
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(offset))
