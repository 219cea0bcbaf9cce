"""`gpulease check`: is the job right, and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.blocks import Text
from orchestrator.cli.commands.arguments import JobArgument, SetOption
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import finding_objects, findings_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    job: JobArgument,
    set_: SetOption = None,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="PATH", help="Say which rule sends PATH, or keeps it."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Also train the first batch here, on the CPU, in the program's venv."
        ),
    ] = False,
) -> int:
    """Validate the job, its data, labels and model, and what would be sent; spends nothing."""
    from orchestrator.spec.schema import FILE_NAME, renew_schema

    session: Session = ctx.obj
    if job != "-" and renew_schema(Path(job).parent):
        session.note(f"{FILE_NAME} was of another version, and is renewed")
    written = session.load_job(job, set_ or [])
    if explain is not None:
        told = session.app.explain(written, explain)
        session.result(
            {"schema": 1, "path": told.path, "sent": told.is_sent, "why": told.why},
            [Text(told.sentence, unbroken=True)],
        )
        return ExitCode.DONE
    findings = session.app.check(written, session.note if full else None)
    ok = all(good is not False for _, good, _, _ in findings)
    answer = {"schema": 1, "ok": ok, "checks": finding_objects(findings)}
    session.result(answer, findings_page(findings))
    return ExitCode.DONE if ok else ExitCode.USAGE
