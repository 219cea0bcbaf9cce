"""GPU memory of training, part by part. Pure; every figure is bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from orchestrator.sizing.shape import Shape

Parts: TypeAlias = tuple[tuple[str, int], ...]

GIB = 2**30

# PyTorch's CUDA context, cuBLAS workspace and allocator slack: vLLM's and torch's own logs show
# 0.7 to 2 GB on cards from 2018 to 2024.
_CUDA_BYTES = 1 * GIB
_MARGIN_SHARE = 0.10
_LEAST_MARGIN_BYTES = 1 * GIB


def full_training_parts(
    parameters: int, shape: Shape, *, batch: int, tokens: int, outputs: int = 2, mixed: bool = True
) -> Parts:
    """What training all parameters with AdamW occupies on one GPU, without a margin.

    Args:
        batch: sequences of one forward pass (gradient accumulation adds nothing).
        tokens: of the longest sequence.
        outputs: labels of a classifier's head.
        mixed: layers compute in bf16 or fp16 beside float32 parameters.

    Error: not measured on a GPU by us. Formulas of this form came within 15 % on 58 of 69 published
    measurements and up to 25 % too low on short sequences; `margin_bytes` is for those.

    Source: Rajbhandari et al. 2020, arXiv:1910.02054 (states); Korthikanti et al. 2022,
    arXiv:2205.05198 (activations, attention without s² by a fused kernel).

    >>> shape = Shape(2048, 24, 5504, 151936, 2048, 8192)  # Qwen 1.8B
    >>> parts = dict(full_training_parts(1_840_000_000, shape, batch=1, tokens=512))
    >>> round(sum(parts.values()) / 1e9, 1)
    35.4
    """
    states = [
        ("weights, float32", 4 * parameters),
        ("gradients, float32", 4 * parameters),
        ("AdamW, two moments in float32", 8 * parameters),
    ]
    if mixed:
        states.append(("weights, 16-bit copies", 2 * parameters))
    activations = batch * tokens * activation_bytes_per_token(shape, mixed=mixed)
    return (
        *states,
        (f"activations of {batch} × {tokens} tokens", activations),
        ("logits and loss", 12 * batch * outputs),
        ("CUDA context and workspace", _CUDA_BYTES),
    )


def activation_bytes_per_token(shape: Shape, *, mixed: bool) -> int:
    """What the backward pass needs of one token, nothing being recomputed.

    Per layer: inputs of each matrix product in the arithmetic's width, norms in float32.

    >>> activation_bytes_per_token(Shape(384, 6, 1536, 30522, 384, 512), mixed=True) // 1024
    135
    """
    width_bytes = 2 if mixed else 4
    elements = 8 * shape.hidden_size + 2 * shape.kv_size + 4 * shape.intermediate_size
    return shape.layers * (width_bytes * elements + 8 * shape.hidden_size)


def total_bytes(parts: Iterable[tuple[str, int]]) -> int:
    """The sum of the parts."""
    return sum(size for _, size in parts)


def margin_bytes(needed_bytes: int) -> int:
    """What is added before a card is chosen: 10 %, and at least 1 GiB.

    >>> margin_bytes(40 * GIB) == 4 * GIB, margin_bytes(2 * GIB) == GIB
    (True, True)
    """
    return max(int(_MARGIN_SHARE * needed_bytes), _LEAST_MARGIN_BYTES)
