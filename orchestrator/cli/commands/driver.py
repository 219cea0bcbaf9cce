"""`gpulease driver`: the background process that moves this home's runs."""

from __future__ import annotations

import typer

from orchestrator.cli.session import Session


def command(ctx: typer.Context) -> None:
    """Move every open run of this home until none is left; `submit` starts this by itself."""
    session: Session = ctx.obj
    session.app.drive()
