"""`gpulease completion`: the Tab key."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
from typer._completion_shared import get_completion_script, install

from orchestrator.cli.blocks import Text
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
    to_shell: Annotated[
        bool,
        typer.Option("--install", help="Write it where that shell looks, for every new one."),
    ] = False,
) -> None:
    """Print what makes the Tab key complete commands, options, runs and providers.

    For this shell only: eval "$(gpulease completion bash)"
    """
    session: Session = ctx.obj
    variable = "_GPULEASE_COMPLETE"
    if not to_shell:
        script = get_completion_script(prog_name="gpulease", complete_var=variable, shell=shell)
        if session.options.json:
            session.emit({"schema": 1, "shell": shell, "script": script})
        else:
            sys.stdout.write(f"{script}\n")
        return
    _, path = install(shell=shell, prog_name="gpulease", complete_var=variable)
    answer = {"schema": 1, "shell": shell, "path": str(path)}
    session.result(answer, [Text(f"wrote {path}", unbroken=True), Text(f"a new {shell} has it")])
