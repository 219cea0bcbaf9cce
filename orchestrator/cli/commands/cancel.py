"""`gpulease cancel`: end a run."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.follow import follow
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    run: RunArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Return the machine at once; what is not home is lost.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the machine is proven gone.")
    ] = False,
) -> int:
    """Save a checkpoint, collect what there is, return the machine."""
    session: Session = ctx.obj
    run_id = session.find(run, for_change=True)
    view = session.app.cancel(run_id, now=now)
    if now:
        lost = (
            ", ".join(view["artifacts_missing"]) or "whatever the machine made since the last pull"
        )
        session.note(f"not brought home, so lost: {lost}")
    if wait:
        code = follow(session, run_id, attached=False)
        return ExitCode.DONE if code == ExitCode.CANCELLED else code
    session.result(dict(view), run_page(view))
    if view["outcome"] is None:
        session.note(f"the machine goes back in the background: gpulease attach {run_id}")
    return ExitCode.DONE
