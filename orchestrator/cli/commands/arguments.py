"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from orchestrator.cli.completing import complete_provider, complete_run

_LONGEST_WAIT_S = 7 * 86_400.0


def to_wait_s(text: str | None) -> float:
    """Seconds of `--wait`. Raises: typer.BadParameter."""
    if text is None:
        return 0.0
    from orchestrator.spec.limits import parse_duration_s

    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise typer.BadParameter(f"--wait {error}") from error
    if not 0 < seconds <= _LONGEST_WAIT_S:
        raise typer.BadParameter("--wait must be more than 0 and at most 7d")
    return seconds


RunArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The start of a run's id, its name, or `last`.",
        autocompletion=complete_run,
    ),
]
JobArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="The job file (YAML), or - for stdin.")
]
ProviderOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        "--on",
        metavar="P",
        help="Only this provider; may be given several times.",
        autocompletion=complete_provider,
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


WaitOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="6h",
        help="Where nothing that fits can be rented now: ask again for so long.",
    ),
]
KeepOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="20m",
        help="Hold the machine so long after its job, for a next `submit --reuse`.",
    ),
]
ReuseOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--reuse",
        metavar="RUN",
        help="Run on the machine that RUN keeps, under what is left of its cap.",
    ),
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


def to_seconds(option: str, text: str | None) -> float:
    """Seconds of a duration that was typed; 0 for none.

    >>> to_seconds("--keep", "20m")
    1200.0
    """
    from orchestrator.errors import UsageError
    from orchestrator.spec.limits import parse_duration_s

    if text is None:
        return 0.0
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from error
