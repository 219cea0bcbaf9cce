"""`gpulease attach`: follow again."""

from __future__ import annotations

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.follow import follow
from orchestrator.cli.session import Session


def command(ctx: typer.Context, run: RunArgument) -> int:
    """Follow a run to its receipt, from where its log stood; Ctrl-C leaves it running.

    With --json: one line per change, {"event": "run" | "log", ...}. Ends with the run's exit code.
    """
    session: Session = ctx.obj
    return follow(session, session.find(run), attached=True)
