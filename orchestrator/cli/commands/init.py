"""`gpulease init`: a starter job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.blocks import Text
from orchestrator.cli.completing import complete_kind, complete_task
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="finetune, or code for your own program.",
            autocompletion=complete_kind,
        ),
    ] = "finetune",
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="T", help="What to train for.", autocompletion=complete_task
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where; - for stdout.")
    ] = Path("job.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented job file to fill in, and beside it a schema that editors read."""
    from orchestrator.spec.schema import FILE_NAME, MODELINE, write_schema
    from orchestrator.spec.starter import starter_text

    session: Session = ctx.obj
    text = starter_text("finetune", "code") if kind == "code" else starter_text(kind, task)
    if str(output) == "-" and not session.options.json:
        sys.stdout.write(text)
        return
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(MODELINE + text)
        write_schema(output.parent)
    except FileExistsError as error:
        raise UsageError(f"{output} is there already", hint="--force replaces it") from error
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error
    next_step = f"edit it, then: gpulease check {output}"
    answer = {"schema": 1, "path": str(output.absolute())}
    session.result(
        answer, [Text(f"wrote {output}, and {FILE_NAME} for your editor"), Text(next_step)]
    )
