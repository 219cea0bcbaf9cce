"""`gpulease reap`: return what was forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.blocks import Text
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import failures_block, machines_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    delete: Annotated[
        bool, typer.Option("--delete", help="Return them; without it they are only shown.")
    ] = False,
    past_deadline: Annotated[
        bool,
        typer.Option(
            "--past-deadline",
            help="Any home's, 15 minutes past its label's deadline; a week on a computer of yours.",
        ),
    ] = False,
) -> int:
    """Find machines of this home that no run uses any more. Foreign machines are never touched."""
    session: Session = ctx.obj
    machines, failures = session.app.reap(
        delete=delete, past_deadline=past_deadline, report=session.note
    )
    session.aside(failures_block(failures))
    answer = {"schema": 1, "deleted": delete, "machines": machines, "failures": failures}
    done = "asked to end" if delete else "would be returned by --delete"
    note = f"{len(machines)} {done}" if machines else "nothing to return"
    session.result(answer, [*(machines_page(machines) if machines else []), Text(note)])
    return ExitCode.PROVIDER if failures else ExitCode.DONE
