from __future__ import annotations

import pytest

from orchestrator.sizing.flops import (
    STEP_OVERHEAD_S,
    forward_flops,
    training_flops,
    training_seconds,
)
from orchestrator.sizing.shape import Shape

LLAMA_3_2_3B = Shape(3072, 28, 8192, 128256, 1024, 131072)
PARAMETERS = 3_212_749_824


def test_work_is_six_per_parameter_and_token_when_texts_are_short() -> None:
    flops = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=1000, tokens=16)
    computing = PARAMETERS - LLAMA_3_2_3B.embedding_parameters
    assert flops == pytest.approx(6 * computing * 16_000, rel=0.01)


def test_attention_costs_more_than_in_proportion() -> None:
    short = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=8, tokens=1024)
    long = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=1, tokens=8192)
    assert long > 1.1 * short


def test_evaluation_is_a_third_of_training() -> None:
    forward = forward_flops(PARAMETERS, LLAMA_3_2_3B, rows=10, tokens=100)
    training = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=10, tokens=100)
    assert training == pytest.approx(3 * forward)


def test_an_adapter_saves_the_pass_for_frozen_weights_and_a_head_costs_its_table() -> None:
    work = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=10, tokens=100)
    adapter = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=10, tokens=100, method="lora")
    writing = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=10, tokens=100, writes=True)

    assert adapter == pytest.approx(work * 2 / 3)
    assert writing - work == pytest.approx(6 * LLAMA_3_2_3B.embedding_parameters * 1000)


@pytest.mark.parametrize(
    ("row", "params", "shape"),
    [
        (("lora", 3077, 8192), 7_720_000_000, Shape(4096, 32, 11008, 151936, 4096, 32768)),
        (("lora", 1950, 2048), 14_170_000_000, Shape(5120, 40, 13696, 152064, 5120, 8192)),
        (("qlora", 2341, 2048), 7_720_000_000, Shape(4096, 32, 11008, 151936, 4096, 32768)),
    ],
)
def test_measured_adapters_lie_in_the_range(
    row: tuple[str, int, int], params: int, shape: Shape
) -> None:
    """Qwen's README, one A100: method, tokens a second, sequence; 8 sequences a step."""
    method, tokens_per_s, tokens = row
    flops = training_flops(params, shape, rows=800, tokens=tokens, method=method, writes=True)
    low, high = training_seconds(flops, steps=100, tflops=312, method=method)
    assert low < 800 * tokens / tokens_per_s < high


@pytest.mark.parametrize("tokens_per_s", [7075, 8998])
def test_a_measured_full_fine_tune_lies_in_the_range(tokens_per_s: int) -> None:
    """Llama 3.2 3B, packed to 4096 tokens, batch 2, one A100 (torchtune's README)."""
    rows = 1000
    flops = training_flops(PARAMETERS, LLAMA_3_2_3B, rows=rows, tokens=4096)
    low, high = training_seconds(flops, steps=rows // 2, tflops=312)
    assert low < rows * 4096 / tokens_per_s < high


def test_a_tiny_model_is_bound_by_its_steps() -> None:
    low, high = training_seconds(1.0, steps=1000, tflops=989.5)
    assert (low, high) == pytest.approx(tuple(1000 * step_s for step_s in STEP_OVERHEAD_S))


def test_a_cpu_takes_longer_than_any_card() -> None:
    low, _ = training_seconds(1e15, steps=1, tflops=None)
    _, high = training_seconds(1e15, steps=1, tflops=65)
    assert low > high
