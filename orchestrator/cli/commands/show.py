"""`gpulease show`: one run."""

from __future__ import annotations

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session


def command(ctx: typer.Context, run: RunArgument) -> None:
    """Everything known about one run, open or ended."""
    session: Session = ctx.obj
    look = session.look
    view = look.view(run) if look else session.app.view(session.find(run))
    session.result(dict(view), run_page(view))
