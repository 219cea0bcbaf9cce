"""`gpulease ssh`: a login on the run's machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    run: RunArgument,
    remote: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="Run this instead of a shell."),
    ] = None,
) -> None:
    """Log in to the run's machine with the run's own key, its host key pinned.

    With --json only the command line is printed.
    """
    session: Session = ctx.obj
    argv = [*session.app.ssh_command(session.find(run)), *(remote or [])]
    if session.options.json:
        session.emit({"schema": 1, "argv": argv})
        return
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise UsageError(
            f"{argv[0]} cannot be started: {error.strerror}", hint="install an OpenSSH client"
        ) from error
