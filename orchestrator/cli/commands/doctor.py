"""`gpulease doctor`: is this computer ready, and does a machine end itself."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.agree import ask
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.figures import dollars
from orchestrator.cli.follow import follow
from orchestrator.cli.list_pages import (
    doubt_objects,
    doubts_page,
    finding_objects,
    findings_page,
)
from orchestrator.cli.session import Session
from orchestrator.errors import NoOffer, UsageError


def command(
    ctx: typer.Context,
    drill: Annotated[
        str | None,
        typer.Option(
            "--drill",
            metavar="P",
            help="Rent the cheapest machine of provider P for cents, to see that it ends itself.",
        ),
    ] = None,
    uncertain: Annotated[
        bool,
        typer.Option(
            "--uncertain",
            help="List what the providers' documents leave open, and what is done meanwhile.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --drill: do not ask before renting.")
    ] = False,
) -> int:
    """Check every prerequisite: home, keys, providers, tools; each with its fix."""
    session: Session = ctx.obj
    if drill is not None:
        return _drill(session, drill, yes=yes)
    if uncertain:
        doubts = session.app.doubts()
        session.result({"schema": 1, "doubts": doubt_objects(doubts)}, doubts_page(doubts))
        return ExitCode.DONE
    findings = session.app.doctor()
    ok = all(good is not False for _, good, _, _ in findings)
    answer = {"schema": 1, "ok": ok, "checks": finding_objects(findings)}
    session.result(answer, findings_page(findings))
    return ExitCode.DONE if ok else ExitCode.USAGE


def _drill(session: Session, provider: str, *, yes: bool) -> int:
    from orchestrator.app import SubmitOptions

    if not yes and not session.interactive:
        raise UsageError("there is no terminal to ask on; nothing was rented", hint="add --yes")
    job, plan = session.app.plan_drill(provider)
    if not plan["offers"]:
        raise NoOffer(f"{provider} has nothing for rent now", hint=plan["relaxation"])
    first = plan["offers"][0]
    session.note(
        f"A drill rents {first['gpu'] or first['id']} at {dollars(first['usd_per_hour'])}/h, ships "
        f"nothing to it, and watches whether it has ended itself after "
        f"{plan['deadline_hours'] * 60:.0f} min. If it has not, it is returned like any machine."
    )
    if not yes:
        ask(session, f"Rent it, for at most {dollars(plan['cap_usd'])}?")
    session.run_id, _ = session.app.submit(job, plan, SubmitOptions())
    code = follow(session, session.run_id, attached=False)
    if code == ExitCode.DONE:
        session.note(f"guards of this {provider} account count as drilled for 90 days")
    return code
