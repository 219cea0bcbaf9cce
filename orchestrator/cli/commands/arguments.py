"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

RunArgument: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The start of a run's id, its name, or `last`."),
]
JobArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="The job file (YAML), or - for stdin.")
]
ProviderOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--provider", "--on", metavar="P", help="Only this provider; may be given several times."
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=V", help="Change one field of the job; may be repeated."),
]
MaxCostOption: TypeAlias = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="The hard cap: budget.max_cost.")
]
MaxDurationOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--max-duration", metavar="2h", help="The longest stay: budget.max_duration."),
]


def to_sets(
    sets: list[str] | None,
    providers: list[str] | None,
    max_cost: str | None,
    max_duration: str | None,
) -> list[str]:
    """The shorthands as further `--set` texts, in the order in which they win.

    >>> to_sets(["name=x"], ["runpod", "local"], "2", None)
    ['name=x', 'providers=["runpod", "local"]', 'budget.max_cost=2']
    """
    texts = list(sets or [])
    if providers:
        quoted = ", ".join(f'"{name}"' for name in providers)
        texts.append(f"providers=[{quoted}]")
    if max_cost is not None:
        texts.append(f"budget.max_cost={max_cost}")
    if max_duration is not None:
        texts.append(f"budget.max_duration={max_duration}")
    return texts
