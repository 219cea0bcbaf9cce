from __future__ import annotations

import pytest

from orchestrator.sizing.memory import (
    GIB,
    activation_bytes_per_token,
    full_training_parts,
    margin_bytes,
    total_bytes,
)
from orchestrator.sizing.shape import Shape

QWEN_1_8B = Shape(2048, 24, 5504, 151936, 2048, 8192)
MINILM = Shape(384, 6, 1536, 30522, 384, 512)
N = 1_000_000_000


def test_float32_training_keeps_sixteen_bytes_of_each_parameter() -> None:
    """GPT-2 of 1.5B parameters: 24 GB of states (ZeRO, arXiv:1910.02054, section 3.1)."""
    parts = full_training_parts(1_500_000_000, QWEN_1_8B, batch=1, tokens=1, mixed=False)
    assert sum(size for _, size in parts[:3]) == 24e9


def test_mixed_precision_adds_sixteen_bit_copies() -> None:
    plain = full_training_parts(N, QWEN_1_8B, batch=1, tokens=0, mixed=False)
    mixed = full_training_parts(N, QWEN_1_8B, batch=1, tokens=0)
    assert total_bytes(mixed) - total_bytes(plain) == 2 * N


def test_activations_grow_with_rows_and_tokens() -> None:
    def activations(batch: int, tokens: int) -> int:
        parts = dict(full_training_parts(N, MINILM, batch=batch, tokens=tokens))
        return parts[f"activations of {batch} × {tokens} tokens"]

    assert activations(16, 128) == 2 * activations(16, 64) == 4 * activations(8, 64)
    assert activations(1, 1) == activation_bytes_per_token(MINILM, mixed=True)


def test_float32_activations_are_wider() -> None:
    mixed = activation_bytes_per_token(MINILM, mixed=True)
    full = activation_bytes_per_token(MINILM, mixed=False)
    assert mixed < full < 2 * mixed


def test_a_measured_fine_tune_is_not_underpredicted_by_a_fifth() -> None:
    """Qwen 1.8B in full, bf16 mixed, 2048 tokens: 43.5 GB measured (its README, A100 80 GB)."""
    needed = total_bytes(full_training_parts(1_840_000_000, QWEN_1_8B, batch=1, tokens=2048))
    assert 0.8 * 43.5e9 < needed + margin_bytes(needed) < 1.25 * 43.5e9


@pytest.mark.parametrize("needed_gib", [0, 1, 9, 10, 11, 80])
def test_the_margin_is_a_tenth_and_never_less_than_a_gib(needed_gib: int) -> None:
    margin = margin_bytes(needed_gib * GIB)
    assert margin == max(GIB, int(0.1 * needed_gib * GIB))
