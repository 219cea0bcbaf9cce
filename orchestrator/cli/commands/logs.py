"""`gpulease logs`: what the program said."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    run: RunArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
) -> None:
    """Print the log that is at home; with --json one {"offset", "line"} per line."""
    session: Session = ctx.obj
    for offset, line in session.app.log_lines(session.find(run), follow=follow):
        if session.options.json:
            session.emit({"offset": offset, "line": line})
        else:
            session.line(line)
