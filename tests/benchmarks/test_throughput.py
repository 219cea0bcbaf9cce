from __future__ import annotations

import csv
import doctest
from pathlib import Path

import pytest

from orchestrator.sizing.shape import Shape
from tests.benchmarks import throughput
from tests.benchmarks.throughput import Decoder, Measured, Way, append, forecast, record

# Llama 2 7B, for which a token costs four times its 6.6 B parameters that compute, and attention.
SHAPE = Shape(4096, 32, 11008, 32000, 4096, 4096, tied=False)
DECODER = Decoder(6_738_415_616, SHAPE, {"driver": "580.1", "torch": "2.13.0"})
WAY = Way("lora", 2, 1024, checkpointing=True)
ON_A100 = Measured("NVIDIA A100-SXM4-80GB", "bfloat16", 3000.0, 19.5)
NOW_S = 1_795_428_000.0


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(throughput).failed == 0


def test_mfu_is_the_share_of_the_cards_peak_by_sizings_own_count() -> None:
    expected = forecast(WAY, DECODER, ON_A100)

    assert expected is not None
    computing = 6_738_415_616 - 32000 * 4096
    per_token = 2 * (2 * computing + 4 * 32 * 4096 * 1024)
    assert expected.flops_per_token == pytest.approx(per_token)
    assert expected.mfu(3000.0) == pytest.approx(3000 * per_token / 312e12)


def test_a_forecast_is_the_range_that_a_plan_is_made_with() -> None:
    expected = forecast(WAY, DECODER, ON_A100)

    assert expected is not None
    low, high = expected.tokens_per_s
    assert expected.mfu(high) == pytest.approx(0.60)  # the best that adapters reach
    assert expected.mfu(low) < 0.10  # what a step costs at least is in it
    assert low < expected.middle < high
    assert expected.middle / low == pytest.approx(high / expected.middle)
    weights_gib = 2 * 6_738_415_616 / 2**30
    assert weights_gib < expected.gib < 1.5 * weights_gib


def test_a_line_names_card_date_versions_and_the_way(tmp_path: Path) -> None:
    line = record(WAY, DECODER, ON_A100, forecast(WAY, DECODER, ON_A100), NOW_S)
    for _ in range(2):
        append(tmp_path / "lines.csv", line)

    with (tmp_path / "lines.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first == second == line
    assert (line["gpu"], line["date"]) == ("NVIDIA A100-SXM4-80GB", "2026-11-23")
    assert (line["method"], line["seq_len"], line["batch"]) == ("lora", "1024", "2")
    assert (line["tokens_per_s_total"], line["peak_gib"]) == ("3000.0", "19.50")
    assert line["mfu"] == "0.264"
    assert line["note"] == "driver 580.1, torch 2.13.0; tier=measured"


def test_for_a_processor_without_a_published_peak_nothing_is_forecast() -> None:
    on_cpu = Measured("cpu", "float32", 30.0, None)

    assert forecast(WAY, DECODER, on_cpu) is None
    line = record(WAY, DECODER, on_cpu, None, NOW_S)
    assert (line["mfu"], line["peak_gib"], line["forecast_gib"]) == ("", "", "")
