"""The model card: what this model was made from and how good it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from training import card
from training.settings import Settings

from rows import Rows

_CARD = """\
{metadata}

# {title}

Fine-tuned from `{base}` by gpulease's text-classification program (all parameters, AdamW).

## Figures

{figures}
{baseline}
{machine}

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
    settings: Settings,
    train: Rows,
    evaluation: Rows | None,
    metrics: Mapping[str, float | str],
    seconds: float,
) -> str:
    """README.md of the model folder, with the metadata block that the hub reads."""
    baseline = ""
    if "majority_class_accuracy" in metrics:
        baseline = (
            "\n`majority_class_accuracy` is what always answering the most frequent label of the "
            "training rows reaches on the same eval rows: accuracy means something only above it.\n"
        )
    task = "text-classification"
    return _CARD.format(
        metadata=card.metadata(settings, library="transformers", pipeline=task, tags=[task]),
        title=f"{card.short_name(settings)}, fine-tuned to classify text",
        base=settings.model_name,
        figures=card.figures(metrics),
        baseline=baseline,
        machine=card.machine(settings, metrics, seconds),
        data=_data(settings, train, evaluation),
        settings=card.choices(settings),
    )


def _data(settings: Settings, train: Rows, evaluation: Rows | None) -> str:
    counted, judged = Counter(train.labels), Counter(evaluation.labels if evaluation else [])
    head = f"`{settings.train_file.name}`: {len(train)} rows"
    if evaluation and settings.eval_file:
        head += f"; `{settings.eval_file.name}`: {len(evaluation)} rows, never trained on"
    rows = [(name, str(count), str(judged[name])) for name, count in counted.most_common()]
    return f"{head}.\n\n{card.table(('label', 'train rows', 'eval rows'), rows)}"
