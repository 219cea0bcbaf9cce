"""`gpulease pull`: bring results home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    run: RunArgument,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Copy everything here too.")
    ] = None,
) -> int:
    """Fetch what is not home yet, each file verified."""
    session: Session = ctx.obj
    view = session.app.pull(session.find(run), to)
    session.result(dict(view), run_page(view))
    return ExitCode.NOT_HOME if view["artifacts_missing"] else ExitCode.DONE
