"""`gpulease schema`: job files for editors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.blocks import Text
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help="Write it there, where the first line of a job finds it."
        ),
    ] = None,
) -> None:
    """Print JSON Schema of job files: an editor completes and checks keys with it.

    `init` writes it beside the job, and `check` renews it after an upgrade.
    """
    from orchestrator.spec.schema import schema_text, write_schema

    session: Session = ctx.obj
    if folder is None:
        sys.stdout.write(schema_text())
        return
    try:
        path = write_schema(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    session.result(
        {"schema": 1, "path": str(path.absolute())}, [Text(f"wrote {path}", unbroken=True)]
    )
