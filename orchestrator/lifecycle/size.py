"""What training a model takes, without a job: memory by part, work, and which cards have room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from orchestrator.errors import UsageError
from orchestrator.lifecycle.reading import WRITERS
from orchestrator.offers.gpus import CARDS, Gpu, least_capability
from orchestrator.sizing.fit import Footprint, Training, footprint
from orchestrator.sizing.flops import training_seconds
from orchestrator.sizing.hub import ModelFacts
from orchestrator.sizing.memory import LORA_R, METHODS
from orchestrator.spec.programs import load_program

_LANGUAGE = (4, 1024)  # batch and max_length of a causal-lm job that says nothing
_LABELS = (16, 256)  # of text classification
_BFLOAT16 = 8.0


@dataclass(frozen=True, slots=True)
class SizeWish:
    """How it would be trained; None: as a job that says nothing."""

    method: str | None = None
    max_length: int | None = None
    batch: int | None = None
    lora_r: int = LORA_R
    tokens: int = 1_000_000  # of an epoch
    checkpointing: bool | None = None


class PartView(TypedDict):
    """One part of the memory."""

    part: str
    bytes: int


class CardView(TypedDict):
    """One card, and how long an epoch takes on it."""

    gpu: str
    memory_gib: float
    fits: bool
    left_gib: float
    hours: list[float] | None  # low, high; None: no figure of its speed is known
    note: str


class SizeView(TypedDict):
    """What `gpulease size --json` gives."""

    schema: int
    model: str
    revision: str
    parameters: int
    is_estimate: bool
    writes: bool
    method: str
    batch: int
    max_length: int
    checkpointing: bool
    trained_parameters: int
    memory: list[PartView]
    gpu_memory_gib: float
    ram_gib: float
    disk_gib: int
    download_bytes: int
    result_bytes: int
    tokens: int
    flops: float
    gpus: list[CardView]


def size_model(facts: ModelFacts, wish: SizeWish) -> SizeView:
    """Size a model for training on one GPU.

    Raises: UsageError for a method or length that cannot be.
    """
    writes = any(name.endswith(WRITERS) for name in facts.architectures)
    training = _training(facts, wish, writes=writes)
    need = footprint(
        training,
        parameters=facts.total_parameters,
        shape=facts.shape,
        download_bytes=facts.download_bytes,
        weight_bytes=facts.weight_bytes if writes else 0,
    )
    program = load_program("causal-lm" if writes else "text-classification")
    return {
        "schema": 1,
        "model": facts.id,
        "revision": facts.revision,
        "parameters": facts.total_parameters,
        "is_estimate": facts.is_estimate,
        "writes": writes,
        "method": training.method,
        "batch": training.batch,
        "max_length": training.max_length,
        "checkpointing": training.checkpointing,
        "trained_parameters": need.trained_parameters,
        "memory": [{"part": name, "bytes": size} for name, size in need.parts],
        "gpu_memory_gib": need.gpu_memory_gib,
        "ram_gib": need.ram_gib,
        "disk_gib": need.disk_gib,
        "download_bytes": need.download_bytes,
        "result_bytes": need.result_bytes,
        "tokens": wish.tokens,
        "flops": need.training_flops,
        "gpus": [
            _card(card, need, program.cuda)
            for card in sorted(CARDS, key=lambda card: card.memory_gib)
        ],
    }


def _training(facts: ModelFacts, wish: SizeWish, *, writes: bool) -> Training:
    method = wish.method or ("lora" if writes else "full")
    if method not in METHODS:
        raise UsageError(f"there is no method {method}", hint=f"one of {', '.join(METHODS)}")
    batch, usual_length = _LANGUAGE if writes else _LABELS
    most = facts.shape.max_positions or usual_length
    max_length = wish.max_length or min(usual_length, most)
    if facts.shape.max_positions and max_length > most:
        raise UsageError(f"{facts.id} reads {most} tokens, not {max_length}", hint="--max-length")
    rows = max(1, round(wish.tokens / max_length))
    return Training(
        train_rows=rows,
        eval_rows=0,
        mean_chars=0,
        epochs=1,
        batch=wish.batch or batch,
        max_length=max_length,
        labels=0 if writes else 2,
        method=method,
        lora_r=wish.lora_r,
        checkpointing=writes if wish.checkpointing is None else wish.checkpointing,
        counted_tokens=max_length,
    )


def _card(card: Gpu, need: Footprint, cuda: str) -> CardView:
    tflops = card.bf16_tflops or card.fp16_tflops
    hours = None
    if tflops is not None:
        seconds = training_seconds(
            need.training_flops, steps=need.steps, tflops=tflops, method=need.method
        )
        hours = [end / 3600 for end in seconds]
    left_gib = card.memory_gib - need.gpu_memory_gib
    note = "" if left_gib >= 0 else f"{-left_gib:.1f} GiB short"
    if card.compute_capability is None:
        note = "no CUDA"
    elif card.compute_capability < least_capability(cuda):
        note = f"too old for CUDA {cuda}"
    elif need.method == "qlora" and card.compute_capability < _BFLOAT16:
        note = "no bfloat16"
    return {
        "gpu": card.name,
        "memory_gib": card.memory_gib,
        "fits": not note,
        "left_gib": round(left_gib, 1),
        "hours": hours,
        "note": note,
    }
