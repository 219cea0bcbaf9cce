"""`gpulease pull`: bring results home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.completing import complete_run
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.run_page import pulled_page
from orchestrator.cli.session import Session


def command(
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="The start of a run's id, its name, or `last`.",
            autocompletion=complete_run,
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Copy everything here too.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="S3",
            help="Instead of RUN: where a receipt says that results are, on any computer.",
        ),
    ] = None,
) -> int:
    """Fetch what is not home yet, each file verified."""
    session: Session = ctx.obj
    if from_ is not None and run is None and to is not None:
        return _from_bucket(session, from_, to)
    if run is None or from_ is not None:
        raise typer.BadParameter("either RUN, or --from s3://… with --to DIR")
    view = session.app.pull(session.find(run), to)
    session.result(
        dict(view),
        pulled_page(
            [(one["path"], one["size_bytes"], one["sha256"]) for one in view["artifacts"]],
            view["artifacts_missing"],
            str(to or view["artifacts_dir"]),
        ),
    )
    return ExitCode.NOT_HOME if view["artifacts_missing"] else ExitCode.DONE


def _from_bucket(session: Session, address: str, folder: Path) -> int:
    pulled = session.app.pull_from(address, folder)
    files = [
        dict(zip(("path", "size_bytes", "sha256"), file, strict=True)) for file in pulled.files
    ]
    answer = {"schema": 1, "from": address, "complete": pulled.complete, "artifacts": files}
    answer |= {"artifacts_dir": str(folder), "artifacts_missing": list(pulled.missing)}
    session.result(answer, pulled_page(pulled.files, pulled.missing, str(folder)))
    return ExitCode.NOT_HOME if pulled.missing else ExitCode.DONE
