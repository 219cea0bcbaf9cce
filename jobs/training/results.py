"""What a program leaves behind: written whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from training.settings import Settings


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """A folder that is there only when `fill` has written all of it."""
    writing = target.with_name(f".{target.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    fill(writing)
    shutil.rmtree(target, ignore_errors=True)
    writing.rename(target)


def write_figures(
    settings: Settings, metrics: Mapping[str, float | str], log: list[dict[str, float]]
) -> None:
    """The training log, and the metrics last: who finds them finds everything."""
    lines = "".join(json.dumps(entry) + "\n" for entry in log)
    (settings.output / "training_log.jsonl").write_text(lines)
    finite = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, str) or math.isfinite(value)
    }
    temporary = settings.metrics.with_name(f"{settings.metrics.name}.writing")
    temporary.write_text(json.dumps(finite, indent=2) + "\n")
    temporary.replace(settings.metrics)
