"""Pieces of a model card: the metadata block that the hub reads, tables, what is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.cost import Meter
from training.settings import Settings


def metadata(settings: Settings, *, library: str, pipeline: str, tags: Sequence[str]) -> str:
    """The YAML block at the top; a base model only where it is one of the hub."""
    base = settings.model_name
    lines = [f"library_name: {library}", f"pipeline_tag: {pipeline}"]
    if base.count("/") == 1:
        lines.append(f"base_model: {base.split('@')[0]}")
    lines += ["tags:", *(f"- {tag}" for tag in (*tags, "gpulease"))]
    return "\n".join(["---", *lines, "---"])


def short_name(settings: Settings) -> str:
    """The base model's name without owner and revision."""
    return settings.model_name.split("@")[0].rsplit("/", 1)[-1]


def figures(metrics: Mapping[str, float | str]) -> str:
    """Every figure that is a number."""
    shown = {name: value for name, value in metrics.items() if isinstance(value, float | int)}
    return table(("figure", "value"), [(name, f"{value:.6g}") for name, value in shown.items()])


def machine(settings: Settings, metrics: Mapping[str, float | str], seconds: float) -> str:
    """What it was trained on, for how long and for how much, in sentences."""
    where = f"{metrics['device']} in {metrics['dtype']}"
    trained = f"Trained on {where}; {seconds / 60:.1f} minutes in the training loop."
    return f"{trained} {cost(settings.meter)}"


def cost(meter: Meter | None) -> str:
    """What the machine has cost until this card was written.

    >>> cost(Meter(0.0, 0.0))
    'Cost: no rent, on a computer of its own.'
    """
    if meter is None:
        return "Cost: not known, for nobody told the program what its machine costs."
    if not meter.usd_per_hour and not meter.spent_usd:
        return "Cost: no rent, on a computer of its own."
    return (
        f"Cost: ${meter.usd():.4f} until this card was written, at ${meter.usd_per_hour:.4g} an "
        "hour from the moment the machine was asked for. Bringing the results home and returning "
        "the machine come on top: the run's receipt has the whole (`gpulease receipt`)."
    )


def choices(settings: Settings) -> str:
    """Every setting that had a value."""
    rows = [(name, str(value)) for name, value in settings.train.items()]
    return table(("setting", "value"), [("method", settings.method), *rows])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in markdown."""
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
