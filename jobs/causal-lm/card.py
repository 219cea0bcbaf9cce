"""The model card: what this model was made from, how good it is, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping

from training import card
from training.settings import Settings

from rows import Rows

_CARD = """\
{metadata}

# {title}

Fine-tuned from `{base}` by gpulease's causal-lm program ({how}).

## Figures

{figures}

`eval_loss` is the mean over all tokens that the eval rows ask for, and `eval_perplexity` its
exponential: between how many tokens the model hesitates. `tokens` counts what was trained on, with
repeats and without padding.

{machine}

## Data

{data}

## Settings

{settings}

## Use

```python
{use}
```
"""
_HOW = {
    "full": "all parameters, AdamW",
    "lora": "a LoRA adapter on a frozen base, AdamW",
    "qlora": "a LoRA adapter on a frozen base of 4 bits, AdamW",
}
_USE_ADAPTER = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")  # fetches the base
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")"""
_USE_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")"""
_USE_CHAT = """
messages = [{"role": "user", "content": "…"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")"""
_USE_PROMPT = """
inputs = tokenizer(%r, return_tensors="pt")"""
_USE_END = """
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=200)[0]))"""


def model_card(
    settings: Settings,
    train: Rows,
    evaluation: Rows | None,
    metrics: Mapping[str, float | str],
    seconds: float,
    *,
    chat: bool,
    adapter: bool,
) -> str:
    """README.md of a result folder, with the metadata block that the hub reads.

    Args:
        chat: rows went through the model's chat template.
        adapter: of the folder with the adapter alone.
    """
    tags = ["trl", "sft"] + ([settings.method] if settings.method != "full" else [])
    prompt = _USE_CHAT if chat else _USE_PROMPT % _prompt(train)
    return _CARD.format(
        metadata=card.metadata(
            settings,
            library="peft" if adapter else "transformers",
            pipeline="text-generation",
            tags=tags,
        ),
        title=f"{card.short_name(settings)}, fine-tuned to write",
        base=settings.model_name,
        how=_HOW[settings.method] + ("" if adapter or settings.method == "full" else ", merged"),
        figures=card.figures(metrics),
        machine=card.machine(settings, metrics, seconds),
        data=_data(settings, train, evaluation, chat=chat),
        settings=card.choices(settings),
        use=(_USE_ADAPTER if adapter else _USE_MODEL) + prompt + _USE_END,
    )


def _data(settings: Settings, train: Rows, evaluation: Rows | None, *, chat: bool) -> str:
    said = f"`{settings.train_file.name}`: {len(train)} rows"
    if evaluation and settings.eval_file:
        said += f"; `{settings.eval_file.name}`: {len(evaluation)} rows, never trained on"
    columns = ", ".join(f"`{column}` as {role}" for role, column in train.columns.items())
    said += f". Recognised as {train.layout}: {columns}."
    if train.layout == "instruction":
        shape = "the model's own chat template" if chat else "`### Instruction:` … `### Response:`"
        said += f" Each was put into {shape}."
    return said


def _prompt(train: Rows) -> str:
    if train.layout == "instruction":
        return "### Instruction:\n…\n\n### Response:\n"
    return "the beginning of a text"
