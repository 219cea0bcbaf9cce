"""Pieces of a model card: the metadata block that the hub reads, tables, what is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.settings import Settings

COST = (
    "What this training cost is on the run's receipt (`gpulease receipt`): the machine that wrote "
    "this card does not know its own bill."
)


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


def machine(metrics: Mapping[str, float | str], seconds: float) -> str:
    """What it was trained on and for how long, in a sentence."""
    where = f"{metrics['device']} in {metrics['dtype']}"
    return f"Trained on {where}; {seconds / 60:.1f} minutes in the training loop. {COST}"


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
