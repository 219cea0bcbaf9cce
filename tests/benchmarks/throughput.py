"""A training on a card in figures: measured, forecast by sizing, and the line of both."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.offers.gpus import card
from orchestrator.sizing.flops import training_flops, training_seconds
from orchestrator.sizing.memory import GIB, Recipe, training_parts
from orchestrator.sizing.shape import Shape

_WARM = 2  # log entries before the clock counts: kernels are chosen, the allocator fills


@dataclass(frozen=True, slots=True)
class Way:
    """How the decoder is trained."""

    method: str
    batch: int
    tokens: int  # of every sequence
    checkpointing: bool = False

    def __str__(self) -> str:
        again = ", gradient checkpointing" if self.checkpointing else ""
        return f"{self.method}, {self.batch} × {self.tokens} tokens{again}"


@dataclass(frozen=True, slots=True)
class Decoder:
    """What is trained, and by what."""

    parameters: int
    shape: Shape
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the program said of one training."""

    card: str  # as its maker calls it
    dtype: str
    tokens_per_s: float
    peak_gib: float | None  # that PyTorch had reserved


@dataclass(frozen=True, slots=True)
class Forecast:
    """What sizing says of it: CUDA's own memory and the margin left out."""

    tokens_per_s: tuple[float, float]
    flops_per_token: float
    tflops: float
    gib: float

    @property
    def middle(self) -> float:
        return math.sqrt(self.tokens_per_s[0] * self.tokens_per_s[1])

    def mfu(self, tokens_per_s: float) -> float:
        """Share of the card's dense peak."""
        return tokens_per_s * self.flops_per_token / (self.tflops * 1e12)


def rate_of(events: Sequence[Mapping[str, float]]) -> float:
    """Tokens a second between the program's own counts, the first of them left out.

    >>> rate_of([{"at": at, "tokens": n} for at, n in ((9, 1), (20, 2), (21, 3), (23, 5))])
    1.0
    """
    first, last = events[min(_WARM, len(events)) - 1], events[-1]
    return (last["tokens"] - first["tokens"]) / (last["at"] - first["at"])


def forecast(way: Way, decoder: Decoder, measured: Measured) -> Forecast | None:
    """None for a processor whose peak nobody has published."""
    known = card(measured.card)
    peak = known and (known.bf16_tflops if measured.dtype == "bfloat16" else known.fp16_tflops)
    if not peak:
        return None
    parameters, shape, method = decoder.parameters, decoder.shape, way.method
    flops = training_flops(
        parameters, shape, rows=way.batch, tokens=way.tokens, method=method, writes=True
    )
    low_s, high_s = training_seconds(flops, steps=1, tflops=peak, method=method)
    recipe = Recipe(method, way.batch, way.tokens, checkpointing=way.checkpointing)
    parts = training_parts(parameters, shape, recipe)
    needed = sum(size for name, size in parts if not name.startswith("CUDA"))
    tokens = way.batch * way.tokens
    return Forecast((tokens / high_s, tokens / low_s), flops / tokens, peak, needed / GIB)


def record(
    way: Way, decoder: Decoder, measured: Measured, expected: Forecast | None, now_s: float
) -> dict[str, str]:
    """A line of the data file, named as in the published tables that sizing is held to."""
    versions = ", ".join(f"{name} {version}" for name, version in decoder.versions.items())
    rate, gib = measured.tokens_per_s, measured.peak_gib
    return {
        "model": "random Llama",
        "params_b": f"{decoder.parameters / 1e9:.3f}",
        "method": way.method,
        "dtype": measured.dtype,
        "gpu": measured.card,
        "n_gpus": "1",
        "seq_len": f"{way.tokens}",
        "batch": f"{way.batch}",
        "grad_ckpt": "yes" if way.checkpointing else "no",
        "tokens_per_s_total": f"{rate:.1f}",
        "mfu": f"{expected.mfu(rate):.3f}" if expected else "",
        "peak_gib": "" if gib is None else f"{gib:.2f}",
        "forecast_tokens_per_s": "{:.0f}-{:.0f}".format(*expected.tokens_per_s) if expected else "",
        "forecast_gib": f"{expected.gib:.2f}" if expected else "",
        "date": f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}",
        "note": f"{versions}; tier=measured",
    }


def append(path: Path, line: Mapping[str, str]) -> None:
    """Under the names of the columns, which a new file begins with."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(line)
