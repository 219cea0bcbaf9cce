"""`gpulease size`: what training a model takes."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.completing import complete_method
from orchestrator.cli.session import Session
from orchestrator.cli.size_page import size_page


def command(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A hub id, with @revision, or ./folder.")
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="M", help="full, lora or qlora.", autocompletion=complete_method
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", metavar="N", min=8, help="Tokens of a row.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="Rows of a forward pass.")
    ] = None,
    lora_r: Annotated[
        int, typer.Option("--lora-r", metavar="R", min=1, max=1024, help="Rank of the adapter.")
    ] = 16,
    tokens: Annotated[
        int, typer.Option("--tokens", metavar="N", min=1, help="Tokens of an epoch.")
    ] = 1_000_000,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--gradient-checkpointing/--no-gradient-checkpointing",
            help="Compute activations again instead of keeping them.",
        ),
    ] = None,
) -> None:
    """Memory by part, FLOPs of an epoch, and which GPUs have room; spends nothing."""
    from orchestrator.lifecycle.size import SizeWish

    session: Session = ctx.obj
    wish = SizeWish(method, max_length, batch, lora_r, tokens, checkpointing)
    view = session.app.size(model, wish)
    session.result(dict(view), size_page(view))
