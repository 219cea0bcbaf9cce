"""GPU memory of training, part by part. Pure; every figure is bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.sizing.shape import Shape

Parts: TypeAlias = tuple[tuple[str, int], ...]

GIB = 2**30
METHODS = ("full", "lora", "qlora")
LORA_R = 16  # of jobs/causal-lm, where a job says nothing

# PyTorch's CUDA context, cuBLAS workspace and allocator slack: vLLM's and torch's own logs show
# 0.7 to 2 GB on cards from 2018 to 2024.
_CUDA_BYTES = 1 * GIB
_MARGIN_SHARE = 0.10
_LEAST_MARGIN_BYTES = 1 * GIB

# NF4 with doubly quantised constants: 4 bits, and 0.127 bits of constants (arXiv:2305.14314, 3).
_NF4_BYTES = 4.127 / 8

# Float32 weights, gradients and two moments of AdamW, and a 16-bit copy to compute with.
_TRAINED_BYTES = 18

# TRL's fused head projects this many tokens onto this much of the vocabulary at once, in 16 bits
# and float32 (trl 1.16, kernels/chunked_logprob.py).
_TILE_TOKENS, _TILE_VOCABULARY, _TILE_BYTES = 4096, 32_768, 6
# A plain head: logits in 16 bits and float32, their gradient, softmax.
_LOGIT_BYTES = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained, as far as memory depends on it."""

    method: str = "full"  # full | lora | qlora
    batch: int = 1  # sequences of one forward pass (gradient accumulation adds nothing)
    tokens: int = 512  # of the longest sequence
    lora_r: int = LORA_R
    checkpointing: bool = False  # activations are computed again in the backward pass
    outputs: int = 0  # labels of a classifier's head; 0: a language model's head
    fused_head: bool = True  # of a language model: TRL's, which never holds all logits


def training_parts(parameters: int, shape: Shape, recipe: Recipe, *, mixed: bool = True) -> Parts:
    """What training with AdamW occupies on one GPU, without a margin.

    Args:
        parameters: all of the model's.
        mixed: layers compute in bf16 or fp16; else everything is float32.

    Error: not measured on a GPU by us. Of 13 published measurements of this recipe it is 14 % too
    low at worst and 34 % too high (long sequences); tests/sizing/test_memory.py holds it to that.
    Of encoders none is published: PyTorch keeps 58 to 68 % of these activations, counted on a CPU.

    Source: Rajbhandari et al. 2020, arXiv:1910.02054 (states); Dettmers et al. 2023,
    arXiv:2305.14314 (4 bits); Korthikanti et al. 2022, arXiv:2205.05198 (activations, attention
    without s² by a fused kernel).

    >>> shape = Shape(2048, 24, 5504, 151936, 2048, 8192)  # Qwen 1.8B
    >>> recipe = Recipe("full", tokens=512, checkpointing=True, fused_head=False)
    >>> parts = dict(training_parts(1_840_000_000, shape, recipe))
    >>> round(sum(parts.values()) / 1e9, 1)
    35.2
    """
    tokens = recipe.batch * recipe.tokens
    per_token = activation_bytes_per_token(
        shape, mixed=mixed, checkpointing=recipe.checkpointing, adapter=recipe.method != "full"
    )
    return (
        *_states(parameters, shape, recipe, mixed=mixed),
        (f"activations of {recipe.batch} × {recipe.tokens} tokens", tokens * per_token),
        ("logits and loss", _head_bytes(shape, recipe)),
        ("CUDA context and workspace", _CUDA_BYTES),
    )


def cpu_training_bytes(parameters: int, shape: Shape, recipe: Recipe) -> int:
    """What the same training holds on a CPU, where all but a base of 4 bits is float32.

    >>> shape = Shape(2048, 24, 5504, 151936, 2048, 8192)
    >>> full = cpu_training_bytes(1_840_000_000, shape, Recipe("full", tokens=0))
    >>> full == 16 * 1_840_000_000
    True
    """
    held = total_bytes(training_parts(parameters, shape, recipe, mixed=False)) - _CUDA_BYTES
    return held + (2 * parameters if recipe.method == "lora" else 0)


def adapter_parameters(parameters: int, shape: Shape, r: int) -> int:
    """What LoRA adds on every linear layer of the blocks: r times its inputs and outputs.

    How many matrices a block's feed-forward part has (two, or three with a gate) follows from the
    model's own number of parameters.

    >>> llama3_8b = Shape(4096, 32, 14336, 128256, 1024, 8192, tied=False)
    >>> adapter_parameters(8_030_261_248, llama3_8b, 16)
    41943040
    """
    hidden, wide, narrow = shape.hidden_size, shape.query_size, shape.kv_size
    attention = 2 * (hidden + wide) + 2 * (hidden + narrow)
    block = (parameters - shape.table_parameters) / shape.layers
    left = block - 2 * hidden * wide - 2 * hidden * narrow
    matrices = min(max(round(left / (hidden * shape.intermediate_size)), 2), 3)
    return r * shape.layers * (attention + matrices * (hidden + shape.intermediate_size))


def activation_bytes_per_token(
    shape: Shape, *, mixed: bool, checkpointing: bool = False, adapter: bool = False
) -> int:
    """What the backward pass needs of one token.

    Per layer: inputs of each matrix product in the arithmetic's width, norms in float32; beside an
    adapter also what each of its inputs is cast to. With checkpointing only the layers' inputs
    stay, and all of one layer.

    >>> activation_bytes_per_token(Shape(384, 6, 1536, 30522, 384, 512), mixed=True) // 1024
    135
    """
    width_bytes = 2 if mixed else 4
    elements = 8 * shape.hidden_size + 2 * shape.kv_size + 4 * shape.intermediate_size
    layer_bytes = width_bytes * elements + 8 * shape.hidden_size
    if adapter:
        inputs = 5 * shape.hidden_size + shape.query_size + shape.intermediate_size
        layer_bytes += 4 * inputs
    if checkpointing:
        return shape.layers * width_bytes * shape.hidden_size + layer_bytes
    return shape.layers * layer_bytes


def total_bytes(parts: Iterable[tuple[str, int]]) -> int:
    """The sum of the parts."""
    return sum(size for _, size in parts)


def margin_bytes(needed_bytes: int) -> int:
    """What is added before a card is chosen: 10 %, and at least 1 GiB.

    >>> margin_bytes(40 * GIB) == 4 * GIB, margin_bytes(2 * GIB) == GIB
    (True, True)
    """
    return max(int(_MARGIN_SHARE * needed_bytes), _LEAST_MARGIN_BYTES)


def base_bytes(parameters: int, shape: Shape, method: str) -> int:
    """The frozen base beside an adapter. Tables of tokens are never quantised."""
    if method == "lora":
        return 2 * parameters
    tables = min(shape.table_parameters, parameters)
    return int(2 * tables + _NF4_BYTES * (parameters - tables))


def _states(parameters: int, shape: Shape, recipe: Recipe, *, mixed: bool) -> list[tuple[str, int]]:
    if recipe.method == "full":
        copies = [("weights, 16-bit copies", 2 * parameters)] if mixed else []
        return [
            ("weights, float32", 4 * parameters),
            ("gradients, float32", 4 * parameters),
            ("AdamW, two moments in float32", 8 * parameters),
            *copies,
        ]
    width = "16 bits" if recipe.method == "lora" else "4 bits"
    added = adapter_parameters(parameters, shape, recipe.lora_r)
    states = [
        (f"frozen weights, {width}", base_bytes(parameters, shape, recipe.method)),
        (f"adapter of r={recipe.lora_r} with AdamW", _TRAINED_BYTES * added),
    ]
    if recipe.method == "qlora":
        # One matrix at a time is turned into 16 bits, forwards and backwards.
        largest = shape.hidden_size * shape.intermediate_size
        states.append(("a matrix in 16 bits, twice", 4 * largest))
    return states


def _head_bytes(shape: Shape, recipe: Recipe) -> int:
    tokens = recipe.batch * recipe.tokens
    if recipe.outputs:
        return _LOGIT_BYTES * recipe.batch * recipe.outputs
    if not recipe.fused_head:
        return _LOGIT_BYTES * tokens * shape.vocab_size
    tile = min(tokens, _TILE_TOKENS) * min(shape.vocab_size, _TILE_VOCABULARY)
    return _TILE_BYTES * tile + 8 * tokens * shape.hidden_size
