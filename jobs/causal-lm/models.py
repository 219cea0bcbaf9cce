"""The model before training and after it: loaded for a method, saved, merged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from training.processor import precision
from training.settings import Settings, Value
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(settings: Settings, device: torch.device) -> PreTrainedModel:
    """The base model in the arithmetic of the method.

    All parameters are trained in float32, so that small steps are not lost; beside an adapter the
    frozen ones lie in 16 bits, or in 4 (NF4, doubly quantised: Dettmers et al., arXiv:2305.14314).
    """
    computing = _DTYPES[precision(device)]
    told: dict[str, Any] = {"dtype": torch.float32 if settings.method == "full" else computing}
    if settings.method == "qlora":
        told["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=computing,
        )
    return AutoModelForCausalLM.from_pretrained(settings.model, **told)


def adapter_config(settings: Settings) -> LoraConfig | None:
    """The adapter that is trained; None where all parameters are."""
    if settings.method == "full":
        return None
    train = settings.train
    return LoraConfig(
        r=int(train["lora_r"]),
        lora_alpha=int(train["lora_alpha"]),
        lora_dropout=float(train["lora_dropout"]),
        target_modules=_targets(train),
        bias="none",
        task_type="CAUSAL_LM",
    )


def save_adapter(model: PeftModel, settings: Settings, folder: Path) -> None:
    """The adapter, which names its base as the hub knows it and not as this machine does."""
    model.save_pretrained(folder)  # it looks into the base's files, and here they are
    path = folder / "adapter_config.json"
    base, _, revision = settings.model_name.partition("@")
    named = {"base_model_name_or_path": base, "revision": revision or None}
    config = {**json.loads(path.read_text()), **named}
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def save_full(model: PreTrainedModel, settings: Settings, folder: Path) -> None:
    """All weights, as wide as those of the base."""
    model.to(_own_dtype(settings)).save_pretrained(folder)


def save_merged(
    model: PeftModel, settings: Settings, adapter: Path, folder: Path, device: torch.device
) -> None:
    """Base and adapter as one model. A base of 4 bits is read again in its own width first."""
    if settings.method == "qlora":
        base = AutoModelForCausalLM.from_pretrained(settings.model, dtype=_own_dtype(settings))
        model = PeftModel.from_pretrained(base.to(device), adapter)
    model.merge_and_unload().to(_own_dtype(settings)).save_pretrained(folder)


def _own_dtype(settings: Settings) -> torch.dtype:
    stated = getattr(AutoConfig.from_pretrained(settings.model), "dtype", None)
    return stated if isinstance(stated, torch.dtype) else torch.float32


def _targets(train: Mapping[str, Value]) -> str | list[str]:
    names = [name.strip() for name in str(train["lora_target_modules"]).split(",")]
    return names[0] if names == ["all-linear"] else names
