"""`gpulease ps`: the runs."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.list_pages import runs_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", "-a", help="The ended ones too.")] = False,
) -> None:
    """The open runs, what they wait for and what they burn."""
    session: Session = ctx.obj
    if look := session.look:
        runs = look.runs(all_runs=all_)
        month = look.month_usd(session.settings.limits.month_usd)
    else:
        runs = session.app.runs(all_runs=all_)
        month = session.app.month_usd()
    spent, committed, limit = map(str, month)
    money = {"spent_usd": spent, "committed_usd": committed, "limit_usd": limit}
    session.result({"schema": 1, "runs": runs, "month": money}, runs_page(runs, month))
