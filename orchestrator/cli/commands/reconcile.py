"""`gpulease reconcile`: the bill."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import failures_block, reconcile_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    month: Annotated[
        str | None, typer.Option("--month", "-m", metavar="YYYY-MM", help="UTC; this month.")
    ] = None,
) -> int:
    """Compare what we think a month has cost with what the providers have billed.

    By machine and by run: the bill of a machine that several runs used is divided as our estimates
    are. Bills lag behind: a machine is compared once its bill is complete. What the bill says is
    kept, and corrects the ledger.
    """
    session: Session = ctx.obj
    view = session.app.reconcile(month)
    session.aside(failures_block(view["failures"]))
    session.result(dict(view), reconcile_page(view))
    return ExitCode.PROVIDER if view["failures"] else ExitCode.DONE
