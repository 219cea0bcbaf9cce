"""`gpulease doctor`: is this computer ready."""

from __future__ import annotations

import typer

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import finding_objects, findings_page
from orchestrator.cli.session import Session


def command(ctx: typer.Context) -> int:
    """Check every prerequisite: home, keys, providers, tools; each with its fix."""
    session: Session = ctx.obj
    findings = session.app.doctor()
    ok = all(good is not False for _, good, _, _ in findings)
    answer = {"schema": 1, "ok": ok, "checks": finding_objects(findings)}
    session.result(answer, findings_page(findings))
    return ExitCode.DONE if ok else ExitCode.USAGE
