"""`gpulease ledger`: money."""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import typer

from orchestrator.cli.clean import clean_line
from orchestrator.cli.list_pages import ledger_page
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    month: Annotated[
        str | None, typer.Option("--month", "-m", metavar="YYYY-MM", help="UTC; this month.")
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Every entry of the month as CSV on stdout.")
    ] = False,
) -> None:
    """What a month has cost: by day, by run, against the limit.

    All figures are upper ones, as the cap counts: never below the provider's bill, sales tax
    outside. A machine counts on the day on which its return was proven.
    """
    session: Session = ctx.obj
    if as_csv and session.options.json:
        raise UsageError("--csv and --json are two answers", hint="leave one out")
    if as_csv:
        columns = ("at", "run", "name", "kind", "usd", "label", "note")
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        for line in session.app.ledger_lines(month):
            writer.writerow({name: clean_line(str(value)) for name, value in line.items()})
        return
    view = session.app.ledger(month)
    session.result(dict(view), ledger_page(view))
