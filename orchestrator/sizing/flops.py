"""Floating-point operations of training, and how long processors take for them. Pure."""

from __future__ import annotations

from orchestrator.sizing.shape import Shape

# Share of the dense peak that training reaches (MFU), by method. Published rows of 1B to 30B
# models lie between 0.34 and 0.64 in full, 0.21 and 0.60 with LoRA, 0.20 and 0.47 on 4 bits; padded
# rows and small models do far less useful work: hence a range.
MFU = {"full": (0.15, 0.65), "lora": (0.10, 0.60), "qlora": (0.08, 0.47)}

# Forward passes that one training step is worth. Backwards costs two, of which a frozen base
# saves the one for its own weights. What is computed again to save memory is in the MFU.
_PASSES = {"full": 3, "lora": 2, "qlora": 2}

# What one step costs at least, however small the model: some thousand kernel launches, the
# trainer's own Python. Reasoned from public profiles, not measured on a GPU here.
STEP_OVERHEAD_S = (0.02, 0.15)

# What a machine's CPU really does, all cores together: 0.09 measured on two EPYC cores, 2026-11.
CPU_TFLOPS = (0.04, 0.60)

Range = tuple[float, float]


def training_flops(
    parameters: int,
    shape: Shape,
    *,
    rows: float,
    tokens: float,
    method: str = "full",
    writes: bool = False,
) -> float:
    """Forward and backward of `rows` sequences of `tokens` tokens each.

    Args:
        parameters: all of them; the table of token embeddings is taken off, a look-up is free.
        rows: sequences, counted again in every epoch.
        writes: a language model, whose head predicts every token from the whole table.

    Error: about a factor of 2 once a card's peak is put against it; see MFU.

    Source: 6·N·D of Kaplan et al. 2020, arXiv:2001.08361; attention 12·L·h·s per token of
    Chowdhery et al. 2022, arXiv:2204.02311, appendix B; 4·N·D with a frozen base.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> f"{training_flops(22_713_216, minilm, rows=1440, tokens=25):.2e}"
    '2.40e+12'
    """
    once = forward_flops(parameters, shape, rows=rows, tokens=tokens, writes=writes)
    return _PASSES[method] * once


def forward_flops(
    parameters: int, shape: Shape, *, rows: float, tokens: float, writes: bool = False
) -> float:
    """A third of training in full: what evaluation costs."""
    looked_up = 0 if writes and shape.tied else shape.embedding_parameters
    attention = 4 * shape.layers * shape.hidden_size * tokens
    return rows * tokens * (2 * max(parameters - looked_up, 0) + attention)


def training_seconds(
    flops: float, *, steps: int, tflops: float | None, method: str = "full"
) -> Range:
    """The least and the most that a card (peak `tflops`, dense) or a CPU (None) may take.

    >>> low, high = training_seconds(2.4e12, steps=90, tflops=165.2)
    >>> round(low, 1), round(high, 1)
    (1.8, 13.6)
    """
    if tflops is None:
        slow, fast = CPU_TFLOPS
        return flops / (fast * 1e12), flops / (slow * 1e12)
    low_mfu, high_mfu = MFU[method]
    low_step_s, high_step_s = STEP_OVERHEAD_S
    low_s = max(flops / (tflops * 1e12 * high_mfu), steps * low_step_s)
    return low_s, flops / (tflops * 1e12 * low_mfu) + steps * high_step_s
