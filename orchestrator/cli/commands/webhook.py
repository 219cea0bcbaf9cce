"""`gpulease webhook`: what a receiver can rely on."""

from __future__ import annotations

import json
import sys

import typer

from orchestrator.cli.session import Session


def command(ctx: typer.Context) -> None:
    """Print the JSON Schema of every message that a webhook is sent."""
    from orchestrator.notify.schema import event_schema

    session: Session = ctx.obj
    if session.options.json:
        session.emit(event_schema())
    else:
        sys.stdout.write(json.dumps(event_schema(), indent=2) + "\n")
