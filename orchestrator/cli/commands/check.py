"""`gpulease check`: is the job right, and its data."""

from __future__ import annotations

import typer

from orchestrator.cli.commands.arguments import JobArgument, SetOption
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import finding_objects, findings_page
from orchestrator.cli.session import Session


def command(ctx: typer.Context, job: JobArgument, set_: SetOption = None) -> int:
    """Validate the job, its data, labels and model, and what would be sent; spends nothing."""
    session: Session = ctx.obj
    findings = session.app.check(session.load_job(job, set_ or []))
    ok = all(good is not False for _, good, _, _ in findings)
    answer = {"schema": 1, "ok": ok, "checks": finding_objects(findings)}
    session.result(answer, findings_page(findings))
    return ExitCode.DONE if ok else ExitCode.USAGE
