"""`gpulease offers`: what is for rent."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.commands.arguments import ProviderOption
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.list_pages import failures_block
from orchestrator.cli.plan_page import offers_table
from orchestrator.cli.session import Session
from orchestrator.errors import NoOffer
from orchestrator.spec.resources import Need


def command(
    ctx: typer.Context,
    gpu: Annotated[
        list[str] | None, typer.Option("--gpu", metavar="G", help="Only this card; repeatable.")
    ] = None,
    memory: Annotated[
        float, typer.Option("--memory", metavar="GIB", min=0, help="GPU memory, at least.")
    ] = 0.0,
    provider: ProviderOption = None,
    disk: Annotated[int, typer.Option("--disk", metavar="GIB", min=1, help="Disk to price.")] = 20,
    spot: Annotated[bool, typer.Option("--spot", help="Also what may be bid for.")] = False,
) -> int:
    """Live offers, cheapest first, with their full price."""
    session: Session = ctx.obj
    need = Need(gpu_memory_gib=memory, gpu_names=tuple(gpu or ()), disk_gib=disk, spot=spot)
    offers, failures = session.app.offers(need, provider or [])
    if not offers and not failures:
        raise NoOffer("no such machine is for rent now", hint="ask for less: --memory, --gpu")
    session.aside(failures_block(failures))
    answer = {"schema": 1, "offers": offers, "failures": failures}
    session.result(answer, [offers_table(offers)])
    return ExitCode.DONE if offers else ExitCode.PROVIDER
