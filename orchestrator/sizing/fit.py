"""What a job takes of a machine: memory by part, disk, bytes to move, work, time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.sizing.flops import (
    Range,
    forward_flops,
    full_training_flops,
    training_seconds,
)
from orchestrator.sizing.memory import (
    GIB,
    Parts,
    full_training_parts,
    margin_bytes,
    total_bytes,
)
from orchestrator.sizing.shape import Shape

# The training stack, installed: with CUDA 13 and its libraries 5.8 GB (2026-11-24), for the CPU
# 0.9 GB; and what lies in the installer's cache and cannot be linked.
_ENVIRONMENT_BYTES = 8 * GIB
_ENVIRONMENT_DOWNLOAD_BYTES = 3.5e9
_SPARE_DISK_BYTES = 4 * GIB  # logs, temporary files, what an allocator of blocks rounds up

# Installing the stack on a data centre's line, and from a warm cache of the image or host.
_INSTALL_S = (5.0, 240.0)
# Imports of torch and transformers, reading the model, first batch: 9 to 12 s measured on 2 cores.
_START_S = (8.0, 45.0)
# Last checkpoint, model and manifest written and hashed.
_FINISH_S = (1.0, 15.0)
_DOWNLOAD_BYTES_PER_S = (20e6, 400e6)  # hosts vouch for 100 Mbit/s and often have 1 to 10 Gbit/s
_DISK_BYTES_PER_S = (200e6, 2e9)

_CHARS_PER_TOKEN = 3.5  # English text, subword vocabularies: 3.5 to 4.5
_SMALL_RESULT_BYTES = 2 << 20  # metrics, log, model card, configuration
_CHECKPOINTS_ON_DISK = 3  # two kept, one being written


@dataclass(frozen=True, slots=True)
class Training:
    """The settings of a training program that size depends on."""

    train_rows: int
    eval_rows: int
    mean_chars: float  # of a row's text
    epochs: float
    batch: int  # rows of one forward pass
    max_length: int  # tokens; longer rows are cut
    gradient_accumulation: int = 1
    max_steps: int | None = None  # wins over epochs
    labels: int = 2

    @property
    def steps(self) -> int:
        """Optimizer steps.

        >>> Training(480, 120, 100, epochs=3, batch=16, max_length=128).steps
        90
        """
        if self.max_steps is not None:
            return self.max_steps
        batches = math.ceil(self.train_rows / self.batch)
        return math.ceil(self.epochs * math.ceil(batches / self.gradient_accumulation))

    @property
    def mean_tokens(self) -> float:
        """Tokens of a row, estimated from its characters, with the two that mark its ends."""
        return min(self.mean_chars / _CHARS_PER_TOKEN + 2, self.max_length)

    @property
    def rows_seen(self) -> int:
        """Training rows, counted each time."""
        most = math.ceil(self.epochs * self.train_rows)
        asked = self.steps * self.batch * self.gradient_accumulation
        return asked if self.max_steps is not None else min(most, asked)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a job needs, before anything is rented."""

    parts: Parts  # GPU memory by part, the margin last
    gpu_memory_gib: float
    disk_gib: int  # for environment, model, data and results; an image comes on top
    download_bytes: int  # the model, from the hub
    result_bytes: int  # expected to come home, without checkpoints
    checkpoint_bytes: int  # one of them
    training_flops: float  # evaluations included
    steps: int


def footprint(
    training: Training,
    *,
    parameters: int,
    shape: Shape,
    download_bytes: int,
    tokenizer_bytes: int = 1 << 20,
    data_bytes: int = 0,
) -> Footprint:
    """The footprint of fine-tuning all parameters on one GPU.

    Args:
        parameters: of the model, without the new head, which is counted here.
        download_bytes: of the model's files that the machine fetches.
        data_bytes: of the data files that are sent.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> quickstart = Training(480, 120, 100, epochs=3, batch=16, max_length=128, labels=5)
    >>> need = footprint(quickstart, parameters=22_713_216, shape=minilm, download_bytes=91_000_000)
    >>> need.gpu_memory_gib, need.disk_gib, need.steps
    (2.7, 13, 90)
    """
    trained = parameters + (shape.hidden_size + 1) * training.labels
    longest = min(training.max_length, shape.max_positions or training.max_length)
    parts = full_training_parts(
        trained, shape, batch=training.batch, tokens=longest, outputs=training.labels
    )
    needed = total_bytes(parts)
    margin = margin_bytes(needed)
    checkpoint_bytes = 12 * trained + _SMALL_RESULT_BYTES  # weights and both moments
    result_bytes = 4 * trained + tokenizer_bytes + _SMALL_RESULT_BYTES
    disk_bytes = (
        _ENVIRONMENT_BYTES
        + download_bytes
        + 2 * data_bytes
        + _CHECKPOINTS_ON_DISK * checkpoint_bytes
        + result_bytes
        + _SPARE_DISK_BYTES
    )
    return Footprint(
        parts=(*parts, ("margin: 10 %, at least 1 GiB", margin)),
        gpu_memory_gib=math.ceil((needed + margin) / GIB * 10) / 10,
        disk_gib=math.ceil(disk_bytes / GIB),
        download_bytes=download_bytes,
        result_bytes=result_bytes,
        checkpoint_bytes=checkpoint_bytes,
        training_flops=_flops(training, trained, shape),
        steps=training.steps,
    )


def _flops(training: Training, parameters: int, shape: Shape) -> float:
    tokens = training.mean_tokens
    train = full_training_flops(parameters, shape, rows=training.rows_seen, tokens=tokens)
    evaluations = max(1, math.ceil(training.rows_seen / max(training.train_rows, 1)))
    judged = evaluations * training.eval_rows
    return train + forward_flops(parameters, shape, rows=judged, tokens=tokens)


def expected_hours(
    need: Footprint, gpu_tflops: float | None, *, checkpoints: int = 0, environment: bool = True
) -> Range:
    """Hours from a machine that answers to results that are complete on it.

    Boot and transfers from and to home are the caller's to add: they depend on provider and line.

    Args:
        gpu_tflops: dense 16-bit peak of the card; None where the CPU trains.
        checkpoints: how many are written on the way.
        environment: false where it lies ready, as on this computer.

    Returns: the low and the high end. Download and installation go on at the same time.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> quickstart = Training(480, 120, 100, epochs=3, batch=16, max_length=128, labels=5)
    >>> need = footprint(quickstart, parameters=22_713_216, shape=minilm, download_bytes=91_000_000)
    >>> low, high = expected_hours(need, 165.2)
    >>> round(low * 60, 1), round(high * 60, 1)
    (0.3, 5.2)
    """
    slow_line, fast_line = _DOWNLOAD_BYTES_PER_S
    slow_disk, fast_disk = _DISK_BYTES_PER_S
    low_train_s, high_train_s = training_seconds(
        need.training_flops, steps=need.steps, tflops=gpu_tflops
    )
    written_bytes = need.result_bytes + checkpoints * need.checkpoint_bytes
    low_setup_s = need.download_bytes / fast_line
    high_setup_s = need.download_bytes / slow_line
    if environment:
        low_setup_s = max(low_setup_s, _INSTALL_S[0])
        fetched_bytes = _ENVIRONMENT_DOWNLOAD_BYTES + need.download_bytes
        high_setup_s = max(fetched_bytes / slow_line, _INSTALL_S[1])
    low_s = low_setup_s + _START_S[0] + low_train_s + _FINISH_S[0] + written_bytes / fast_disk
    high_s = high_setup_s + _START_S[1] + high_train_s + _FINISH_S[1] + written_bytes / slow_disk
    return low_s / 3600, high_s / 3600
