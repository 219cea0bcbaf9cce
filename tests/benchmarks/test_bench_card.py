from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.program_environment import program_python
from orchestrator.spec.programs import load_program
from tests.benchmarks import bench_card
from tests.benchmarks.bench_card import RECORDS, make_decoder, measure
from tests.benchmarks.ratio import Unmeasured
from tests.benchmarks.throughput import Way

TINY = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize("has_command", [False, True])
def test_without_a_card_nothing_is_measured_and_nothing_written(
    has_command: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where nvidia-smi is missing nor where it finds no driver."""
    if has_command:
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho no devices were found\nexit 6\n")
        (tmp_path / "nvidia-smi").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    before = RECORDS.read_bytes() if RECORDS.exists() else None

    (row,) = bench_card.rows()

    assert isinstance(row, Unmeasured) and "no NVIDIA card answers here" in row.markdown()
    assert (RECORDS.read_bytes() if RECORDS.exists() else None) == before


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", [Way("lora", 2, 64), Way("full", 2, 128, checkpointing=True)])
def test_the_program_fills_every_sequence_and_its_own_count_is_the_rate(
    way: Way, tmp_path: Path
) -> None:
    """On the CPU, where there is neither a peak nor a figure of its memory."""
    python = program_python(load_program("causal-lm"))
    decoder = make_decoder(python, tmp_path, TINY, {"driver": "none"})

    measured = measure(python, tmp_path, way, device="cpu", steps=40)

    embedded, layers = 1024 * 64, 2 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64)
    assert decoder.parameters == embedded + layers + 64
    assert {"torch", "transformers", "trl", "peft", "driver"} == set(decoder.versions)
    assert (measured.card, measured.dtype, measured.peak_gib) == ("cpu", "float32", None)
    assert measured.tokens_per_s > 100
