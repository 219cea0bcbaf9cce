"""The model card: what this model was made from and how good it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rows import Rows
from settings import Settings

_CARD = """\
---
library_name: transformers
pipeline_tag: text-classification
{base_line}tags:
- text-classification
- gpulease
---

# {title}

Fine-tuned from `{base}` by gpulease's text-classification program (all parameters, AdamW).

## Figures

{figures}
{baseline}
## Data

{data}

## Settings

{settings}

## Use

```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
classify("a text of the kind that it was trained on")
```
"""


def model_card(
    settings: Settings, train: Rows, evaluation: Rows | None, metrics: Mapping[str, float | str]
) -> str:
    """README.md of the model folder, with the metadata block that the hub reads."""
    base = settings.model_name
    is_hub_id = base.count("/") == 1
    shown = {name: value for name, value in metrics.items() if isinstance(value, float | int)}
    baseline = ""
    if "majority_class_accuracy" in metrics:
        baseline = (
            "\n`majority_class_accuracy` is what always answering the most frequent label of the "
            "training rows reaches on the same eval rows: accuracy means something only above it.\n"
        )
    return _CARD.format(
        base_line=f"base_model: {base.split('@')[0]}\n" if is_hub_id else "",
        title=f"{base.split('@')[0].rsplit('/', 1)[-1]}, fine-tuned to classify text",
        base=base,
        figures=_table(("figure", "value"), [(n, f"{v:.6g}") for n, v in shown.items()]),
        baseline=baseline,
        data=_data(settings, train, evaluation),
        settings=_table(("setting", "value"), [(n, str(v)) for n, v in settings.train.items()]),
    )


def _data(settings: Settings, train: Rows, evaluation: Rows | None) -> str:
    counted, judged = Counter(train.labels), Counter(evaluation.labels if evaluation else [])
    head = f"`{settings.train_file.name}`: {len(train)} rows"
    if evaluation and settings.eval_file:
        head += f"; `{settings.eval_file.name}`: {len(evaluation)} rows, never trained on"
    rows = [
        (name.replace("|", "\\|"), str(count), str(judged[name]))
        for name, count in counted.most_common()
    ]
    return f"{head}.\n\n{_table(('label', 'train rows', 'eval rows'), rows)}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
