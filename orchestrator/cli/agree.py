"""The one question before money is spent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.figures import dollars, moment
from orchestrator.cli.plan_page import plan_page
from orchestrator.cli.session import Session
from orchestrator.errors import BudgetRefused, NoOffer, UsageError
from orchestrator.runs.view import PlanView

if TYPE_CHECKING:
    from orchestrator.spec.job import Job


def agree(
    session: Session,
    path: str,
    sets: list[str],
    *,
    yes: bool,
    wait_s: float = 0.0,
    keep_s: float = 0.0,
    reuse: str = "",
) -> tuple[Job, PlanView]:
    """The job with its cap, and a plan that somebody agreed to.

    Args:
        wait_s: for so long, something to rent may be waited for.

    Raises: UsageError when nobody is there to ask, BudgetRefused when `yes` comes without a cap,
    NoOffer when nothing fits; typer.Exit (9) when the answer is no.
    """
    job = session.load_job(path, sets)
    if not yes and not session.interactive:
        raise UsageError(
            "there is no terminal to ask on; nothing was rented",
            hint="add --yes (and --max-cost USD when the job has no budget.max_cost)",
        )
    plan = session.app.plan(job, wait_s=wait_s, keep_s=keep_s, reuse=reuse)
    session.aside(plan_page(plan))
    if not plan["offers"] and not plan["waits"]:
        raise NoOffer("nothing that is for rent now fits this job", hint=plan["relaxation"])
    suggested = plan["suggested_cap_usd"]
    needs_cap = plan["cap_usd"] is None and Decimal(suggested) > 0
    if yes:
        if needs_cap:
            raise BudgetRefused(
                f"{job.name} has no cap, and --yes agrees to none",
                hint=f"add --max-cost {suggested} (the forecast's high end and a quarter)",
            )
        return job, plan
    if not needs_cap:
        wait = "" if plan["offers"] else f"Wait until {moment(plan['start_by'])}, then r"
        how = "Go on with the kept machine" if reuse else f"{wait or 'R'}ent"
        ask(session, f"{how}, for at most {dollars(plan['cap_usd'] or '0')}?")
        return job, plan
    ask(session, f"The job has no max_cost. Rent, with a cap of {dollars(suggested)}?")
    job = session.load_job(path, [*sets, f"budget.max_cost={suggested}"])
    return job, session.app.plan(job, wait_s=wait_s, keep_s=keep_s, reuse=reuse)


def ask(session: Session, question: str) -> None:
    """Go on only when the answer is yes. Raises: typer.Exit (9)."""
    if session.ask(f"{question} [y/N]").lower() not in ("y", "yes"):
        session.note("nothing was rented")
        raise typer.Exit(ExitCode.CANCELLED)
