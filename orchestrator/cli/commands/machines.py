"""`gpulease machines`: everything that bills."""

from __future__ import annotations

import typer

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import failures_block, machines_page
from orchestrator.cli.session import Session


def command(ctx: typer.Context) -> int:
    """Every machine on every account: whose it is, what it burns.

    ours: of an open run. orphan: of this home, and of no open run. elsewhere: another home's.
    foreign: none of gpulease's; never touched.
    """
    session: Session = ctx.obj
    machines, failures = session.app.machines()
    session.aside(failures_block(failures))
    answer = {"schema": 1, "machines": machines, "failures": failures}
    session.result(answer, machines_page(machines))
    return ExitCode.PROVIDER if failures else ExitCode.DONE
