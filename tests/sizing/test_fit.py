from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.sizing.fit import Footprint, Training, expected_hours, footprint
from orchestrator.sizing.memory import GIB
from orchestrator.sizing.shape import Shape

MINILM = Shape(384, 6, 1536, 30522, 384, 512)
QUICKSTART = Training(480, 120, mean_chars=105, epochs=3, batch=16, max_length=128, labels=5)


def size(training: Training = QUICKSTART, data_bytes: int = 0) -> Footprint:
    return footprint(
        training,
        parameters=22_713_216,
        shape=MINILM,
        download_bytes=91_600_000,
        data_bytes=data_bytes,
    )


def test_the_parts_add_up_to_the_memory_that_is_asked_for() -> None:
    need = size()
    total = sum(part for _, part in need.parts)

    assert need.parts[-1][0].startswith("margin")
    assert total <= need.gpu_memory_gib * GIB < total + 0.11 * GIB


def test_expected_bytes_are_those_that_the_program_was_seen_to_write() -> None:
    """MiniLM with five labels: 91 MB of model and tokenizer, 273 MB a checkpoint (2026-11-24)."""
    need = size()
    assert need.result_bytes == pytest.approx(91.6e6, rel=0.05)
    assert need.checkpoint_bytes == pytest.approx(273.4e6, rel=0.05)


def test_the_disk_holds_data_results_and_three_checkpoints() -> None:
    small, large = size(), size(data_bytes=10 * GIB)
    assert large.disk_gib - small.disk_gib == pytest.approx(20, abs=1)
    assert small.disk_gib >= 10


def test_memory_does_not_depend_on_accumulation_and_work_does_not_on_batch() -> None:
    accumulated = size(replace(QUICKSTART, gradient_accumulation=4))
    wider = size(replace(QUICKSTART, batch=32))

    assert accumulated.parts == size().parts
    assert wider.gpu_memory_gib > size().gpu_memory_gib
    assert wider.training_flops == size().training_flops


SMOL = Shape(576, 30, 1536, 49152, 192, 8192)
CHAT = Training(
    480, 120, mean_chars=300, epochs=3, batch=4, max_length=1024, labels=0, checkpointing=True
)


def size_of_chat(training: Training) -> Footprint:
    return footprint(
        training,
        parameters=134_515_008,
        shape=SMOL,
        download_bytes=272_000_000,
        weight_bytes=269_000_000,
    )


def test_an_adapter_is_small_at_home_and_on_disk() -> None:
    lora = size_of_chat(replace(CHAT, method="lora"))
    merged = size_of_chat(replace(CHAT, method="lora", merged=True))
    full = size_of_chat(CHAT)

    assert lora.trained_parameters == pytest.approx(4.9e6, rel=0.01)
    assert lora.result_bytes < 25e6 < 269e6 < merged.result_bytes < 300e6
    assert full.result_bytes == pytest.approx(272e6, rel=0.02)  # in the base's own width
    assert full.checkpoint_bytes == pytest.approx(12 * 134_515_008, rel=0.01)
    assert lora.gpu_memory_gib < full.gpu_memory_gib and lora.ram_gib < full.ram_gib


def test_packing_fills_sequences_and_takes_fewer_steps() -> None:
    counted = replace(CHAT, counted_tokens=128, longest_tokens=300)
    packed = replace(counted, packing=True)

    assert (counted.steps, counted.most_tokens) == (360, 300)
    assert (packed.steps, packed.most_tokens) == (48, 1024)  # 480 × 128 / (0.95 × 1024) = 64
    assert packed.rows_seen == counted.rows_seen == 1440


def test_counted_tokens_win_over_characters_and_long_rows_are_cut() -> None:
    assert CHAT.mean_tokens == pytest.approx(87.7, abs=0.1)
    assert replace(CHAT, counted_tokens=70.5).mean_tokens == 70.5
    assert replace(CHAT, counted_tokens=5000).mean_tokens == 1024


def test_rows_lie_in_the_hosts_memory() -> None:
    few = footprint(CHAT, parameters=10, shape=SMOL, download_bytes=0)
    many = footprint(CHAT, parameters=10, shape=SMOL, download_bytes=0, data_bytes=GIB)
    assert many.ram_gib - few.ram_gib == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize(
    ("training", "steps", "rows_seen"),
    [
        (QUICKSTART, 90, 1440),
        (replace(QUICKSTART, train_rows=481), 93, 1443),
        (replace(QUICKSTART, gradient_accumulation=4), 24, 1440),
        (replace(QUICKSTART, epochs=0.5), 15, 240),
        (replace(QUICKSTART, max_steps=7), 7, 112),
        (replace(QUICKSTART, max_steps=200), 200, 3200),
    ],
)
def test_steps_are_those_of_the_trainer(training: Training, steps: int, rows_seen: int) -> None:
    assert (training.steps, training.rows_seen) == (steps, rows_seen)


def test_long_texts_are_cut() -> None:
    assert replace(QUICKSTART, mean_chars=10_000).mean_tokens == 128


def test_a_limit_of_the_model_bounds_what_a_row_takes() -> None:
    at_limit = size(replace(QUICKSTART, max_length=512))
    beyond = size(replace(QUICKSTART, max_length=4096))
    assert beyond.gpu_memory_gib == at_limit.gpu_memory_gib


def test_a_forecast_is_a_range_that_starts_above_zero() -> None:
    low, high = expected_hours(size(), 165.2)
    assert 10 / 3600 < low < high / 3 < 0.1


def test_a_ready_environment_and_fewer_checkpoints_take_less() -> None:
    ready = expected_hours(size(), 165.2, environment=False)
    full = expected_hours(size(), 165.2)
    more = expected_hours(size(), 165.2, checkpoints=10)
    assert ready < full < more


def test_a_slow_line_takes_longer_and_a_fast_one_as_long_as_one_that_nobody_measured() -> None:
    unknown = expected_hours(size(), 165.2)
    slow = expected_hours(size(), 165.2, line_bytes_per_s=1.25e6)
    assert expected_hours(size(), 165.2, line_bytes_per_s=1.25e9) == unknown
    assert slow[0] > unknown[0] and slow[1] - unknown[1] > 0.7, "3.5 GB at 10 Mbit/s"


def test_the_quickstart_on_two_cores_lies_in_the_range_of_a_cpu() -> None:
    """45 to 130 s were seen on two EPYC cores, idle and busy, without set-up (2026-11-24)."""
    low, high = expected_hours(size(), None, environment=False)
    assert low * 3600 < 45 and high * 3600 > 120
