"""`gpulease plan`: what a submit would do."""

from __future__ import annotations

import typer

from orchestrator.cli.commands.arguments import (
    JobArgument,
    MaxCostOption,
    MaxDurationOption,
    ProviderOption,
    SetOption,
    to_sets,
)
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.plan_page import plan_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    job: JobArgument,
    provider: ProviderOption = None,
    max_cost: MaxCostOption = None,
    max_duration: MaxDurationOption = None,
    set_: SetOption = None,
) -> int:
    """Ranked offers, forecast in hours and dollars, cap, guards; spends nothing."""
    session: Session = ctx.obj
    written = session.load_job(job, to_sets(set_, provider, max_cost, max_duration))
    plan = session.app.plan(written)
    session.result(dict(plan), plan_page(plan))
    return ExitCode.DONE if plan["offers"] else ExitCode.NO_OFFER
