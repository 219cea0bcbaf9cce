"""`gpulease close`: a person's word for what no provider proves."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import RunArgument
from orchestrator.cli.exit_codes import exit_code_of
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    run: RunArgument,
    seen_gone: Annotated[
        bool, typer.Option("--seen-gone", help="You saw at the provider that it is gone.")
    ] = False,
    i_saw: Annotated[
        str | None,
        typer.Option(
            "--yes-i-saw-it-gone", metavar="NAME", help="The run's name, where nobody can type it."
        ),
    ] = None,
) -> int:
    """Stop counting a machine that no provider's answer proves gone. Exit code 7: not proven."""
    session: Session = ctx.obj
    view = session.app.view(session.find(run, for_change=True))
    if not seen_gone:
        raise UsageError("only --seen-gone closes a run", hint="look at the provider's console")
    typed = i_saw
    if typed is None and session.interactive:
        session.note(
            f"The machine of {view['name']} is counted no more. Should it show up on the account"
            " all the same, it is ended."
        )
        typed = session.ask("Type the run's name if you saw that it is gone:")
    if typed != view["name"]:
        raise UsageError(
            "the run's name was not given; nothing was changed",
            hint=f"--yes-i-saw-it-gone {view['name']} where there is no terminal",
        )
    closed = session.app.close_seen_gone(session.find(run, for_change=True))
    session.result(dict(closed), run_page(closed))
    return exit_code_of(closed)
