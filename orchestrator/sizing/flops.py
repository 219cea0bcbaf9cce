"""Floating-point operations of training, and how long processors take for them. Pure."""

from __future__ import annotations

from orchestrator.sizing.shape import Shape

# Share of the dense peak that full training reaches (MFU). Published rows of 1B to 30B models
# lie between 0.34 and 0.64; padded rows and small models do far less useful work: hence a range.
FULL_TRAINING_MFU = (0.15, 0.65)

# What one step costs at least, however small the model: some thousand kernel launches, the
# trainer's own Python. Reasoned from public profiles, not measured on a GPU here.
STEP_OVERHEAD_S = (0.02, 0.15)

# What a machine's CPU really does, all cores together: 0.09 measured on two EPYC cores, 2026-11.
CPU_TFLOPS = (0.04, 0.60)

Range = tuple[float, float]


def full_training_flops(parameters: int, shape: Shape, *, rows: float, tokens: float) -> float:
    """Forward and backward of `rows` sequences of `tokens` tokens each.

    Args:
        parameters: all of them; the table of token embeddings is taken off, a look-up is free.
        rows: sequences, counted again in every epoch.

    Error: about a factor of 2 once a card's peak is put against it; see FULL_TRAINING_MFU.

    Source: 6·N·D of Kaplan et al. 2020, arXiv:2001.08361; attention 12·L·h·s per token of
    Chowdhery et al. 2022, arXiv:2204.02311, appendix B.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> f"{full_training_flops(22_713_216, minilm, rows=1440, tokens=25):.2e}"
    '2.40e+12'
    """
    return 3 * forward_flops(parameters, shape, rows=rows, tokens=tokens)


def forward_flops(parameters: int, shape: Shape, *, rows: float, tokens: float) -> float:
    """A third of training: what evaluation costs."""
    computing = max(parameters - shape.embedding_parameters, 0)
    attention = 4 * shape.layers * shape.hidden_size * tokens
    return rows * tokens * (2 * computing + attention)


def training_seconds(flops: float, *, steps: int, tflops: float | None) -> Range:
    """The least and the most that a card (peak `tflops`, dense) or a CPU (None) may take.

    >>> low, high = training_seconds(2.4e12, steps=90, tflops=165.2)
    >>> round(low, 1), round(high, 1)
    (1.8, 13.6)
    """
    if tflops is None:
        slow, fast = CPU_TFLOPS
        return flops / (fast * 1e12), flops / (slow * 1e12)
    low_mfu, high_mfu = FULL_TRAINING_MFU
    low_step_s, high_step_s = STEP_OVERHEAD_S
    low_s = max(flops / (tflops * 1e12 * high_mfu), steps * low_step_s)
    return low_s, flops / (tflops * 1e12 * low_mfu) + steps * high_step_s
