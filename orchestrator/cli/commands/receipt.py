"""`gpulease receipt`: how a run ended."""

from __future__ import annotations

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.exit_codes import exit_code_of
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(ctx: typer.Context, run: RunArgument) -> int:
    """How a run ended: proof of return, cost, forecast against actual, artifacts.

    Ends with the run's own exit code.
    """
    session: Session = ctx.obj
    view = session.app.view(session.find(run))
    if view["outcome"] is None:
        raise UsageError(
            f"{view['name']} has not ended: {view['state']}",
            hint=f"gpulease attach {view['run']}",
        )
    session.result(dict(view), run_page(view))
    return exit_code_of(view)
