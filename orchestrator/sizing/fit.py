"""What a job takes of a machine: memory by part, disk, bytes to move, work, time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.sizing.flops import Range, forward_flops, training_flops, training_seconds
from orchestrator.sizing.memory import (
    GIB,
    LORA_R,
    Parts,
    Recipe,
    adapter_parameters,
    cpu_training_bytes,
    margin_bytes,
    total_bytes,
    training_parts,
)
from orchestrator.sizing.shape import Shape

# The training stack, installed: with CUDA 13 and its libraries 5.8 GB (2026-11-24), for the CPU
# 0.9 GB; and what lies in the installer's cache and cannot be linked.
_ENVIRONMENT_BYTES = 8 * GIB
ENVIRONMENT_DOWNLOAD_BYTES = 3.5e9
_SPARE_DISK_BYTES = 4 * GIB  # logs, temporary files, what an allocator of blocks rounds up

# Installing the stack on a data centre's line, and from a warm cache of the image or host.
_INSTALL_S = (5.0, 240.0)
# Imports of torch and transformers, reading the model, first batch: 9 to 12 s measured on 2 cores.
_START_S = (8.0, 45.0)
# Last checkpoint, model and manifest written and hashed.
_FINISH_S = (1.0, 15.0)
SETUP_S = _INSTALL_S[1] + _START_S[1]  # at most, before a program that goes on elsewhere works
_DOWNLOAD_BYTES_PER_S = (20e6, 400e6)  # 160 Mbit/s to 3 Gbit/s, if not told otherwise
_DISK_BYTES_PER_S = (200e6, 2e9)

_CHARS_PER_TOKEN = 3.5  # English text, subword vocabularies: 3.5 to 4.5
_SMALL_RESULT_BYTES = 2 << 20  # metrics, log, model card, configuration
_CHECKPOINTS_ON_DISK = 3  # two kept, one being written

# The interpreter with torch and CUDA's libraries, and the installer beside it.
_HOST_BYTES = 4 * GIB
# The same on a CPU: torch, transformers and TRL imported hold 0.7 GiB (2026-11-28).
_PROGRAM_BYTES = 1 * GIB
_ROWS_IN_RAM = 8  # rows as Python and Arrow objects, against their bytes in a file
_PACKED_SHARE = 0.95  # of a packed sequence that holds tokens


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
    labels: int = 2  # 0: a language model, which has its own head
    method: str = "full"  # full | lora | qlora
    lora_r: int = LORA_R
    packing: bool = False
    checkpointing: bool = False
    merged: bool = False  # the adapter's base comes home too
    counted_tokens: float | None = None  # of a mean row, by the model's own tokenizer
    longest_tokens: int | None = None  # of any row, by the same

    @property
    def steps(self) -> int:
        """Optimizer steps.

        >>> Training(480, 120, 100, epochs=3, batch=16, max_length=128).steps
        90
        """
        if self.max_steps is not None:
            return self.max_steps
        batches = math.ceil(self._sequences / self.batch)
        return math.ceil(self.epochs * math.ceil(batches / self.gradient_accumulation))

    @property
    def _sequences(self) -> int:
        """Of an epoch: rows, or what they are packed into."""
        if not self.packing:
            return self.train_rows
        return math.ceil(self.train_rows * self.mean_tokens / (_PACKED_SHARE * self.max_length))

    @property
    def mean_tokens(self) -> float:
        """Tokens of a row: counted, else estimated from its characters and two for its ends."""
        if self.counted_tokens is not None:
            return min(self.counted_tokens, self.max_length)
        return min(self.mean_chars / _CHARS_PER_TOKEN + 2, self.max_length)

    @property
    def most_tokens(self) -> int:
        """Tokens of the longest sequence that may occur."""
        if self.packing or self.longest_tokens is None:
            return self.max_length
        return min(self.longest_tokens, self.max_length)

    @property
    def rows_seen(self) -> int:
        """Training rows, counted each time."""
        most = math.ceil(self.epochs * self.train_rows)
        asked = self.steps * self.batch * self.gradient_accumulation
        if self.packing:
            asked = math.ceil(asked * self.train_rows / max(1, self._sequences))
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
    ram_gib: float = 0.0  # of the host
    trained_parameters: int = 0
    method: str = "full"
    cpu_bytes: int = 0  # memory of a computer that does the same on its CPU


def footprint(
    training: Training,
    *,
    parameters: int,
    shape: Shape,
    download_bytes: int,
    tokenizer_bytes: int = 1 << 20,
    data_bytes: int = 0,
    weight_bytes: int = 0,
) -> Footprint:
    """The footprint of fine-tuning on one GPU.

    Args:
        parameters: of the model, without the head of a classifier, which is counted here.
        download_bytes: of the model's files that the machine fetches.
        data_bytes: of the data files that are sent.
        weight_bytes: of the model's weights as the hub has them; 0: four a parameter.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> quickstart = Training(480, 120, 100, epochs=3, batch=16, max_length=128, labels=5)
    >>> need = footprint(quickstart, parameters=22_713_216, shape=minilm, download_bytes=91_000_000)
    >>> need.gpu_memory_gib, need.disk_gib, need.steps
    (2.7, 13, 90)
    """
    whole = parameters + (shape.hidden_size + 1) * training.labels
    longest = min(training.most_tokens, shape.max_positions or training.most_tokens)
    recipe = Recipe(
        method=training.method,
        batch=training.batch,
        tokens=longest,
        lora_r=training.lora_r,
        checkpointing=training.checkpointing,
        outputs=training.labels,
    )
    parts = training_parts(whole, shape, recipe)
    needed = total_bytes(parts)
    margin = margin_bytes(needed)
    trained, saved_bytes = whole, weight_bytes or 4 * whole
    if training.method != "full":
        trained = adapter_parameters(whole, shape, training.lora_r)
        saved_bytes = 4 * trained + (saved_bytes if training.merged else 0)
    checkpoint_bytes = 12 * trained + _SMALL_RESULT_BYTES  # weights and both moments
    result_bytes = saved_bytes + tokenizer_bytes + _SMALL_RESULT_BYTES
    own_bytes = _ENVIRONMENT_BYTES + _SPARE_DISK_BYTES + download_bytes + 2 * data_bytes
    disk_bytes = own_bytes + _CHECKPOINTS_ON_DISK * checkpoint_bytes + result_bytes
    return Footprint(
        parts=(*parts, ("margin: 10 %, at least 1 GiB", margin)),
        gpu_memory_gib=math.ceil((needed + margin) / GIB * 10) / 10,
        disk_gib=math.ceil(disk_bytes / GIB),
        download_bytes=download_bytes,
        result_bytes=result_bytes,
        checkpoint_bytes=checkpoint_bytes,
        training_flops=_flops(training, whole, shape),
        steps=training.steps,
        ram_gib=_ram_gib(training, whole, data_bytes),
        trained_parameters=trained,
        method=training.method,
        cpu_bytes=_PROGRAM_BYTES + cpu_training_bytes(whole, shape, recipe),
    )


def _ram_gib(training: Training, parameters: int, data_bytes: int) -> float:
    """Memory of the host: the weights pass through it, and the rows lie in it."""
    width = 4 if training.method == "full" else 2
    needed = _HOST_BYTES + width * parameters + _ROWS_IN_RAM * data_bytes
    return math.ceil(needed / GIB * 10) / 10


def _flops(training: Training, parameters: int, shape: Shape) -> float:
    tokens, writes = training.mean_tokens, training.labels == 0
    train = training_flops(
        parameters,
        shape,
        rows=training.rows_seen,
        tokens=tokens,
        method=training.method,
        writes=writes,
    )
    evaluations = max(1, math.ceil(training.rows_seen / max(training.train_rows, 1)))
    judged = evaluations * training.eval_rows
    return train + forward_flops(parameters, shape, rows=judged, tokens=tokens, writes=writes)


def expected_hours(
    need: Footprint,
    gpu_tflops: float | None,
    *,
    checkpoints: int = 0,
    environment: bool = True,
    line_bytes_per_s: float | None = None,
) -> Range:
    """Hours from a machine that answers to results that are complete on it.

    Boot and transfers from and to home are the caller's to add: they depend on provider and line.

    Args:
        gpu_tflops: dense 16-bit peak of the card; None where the CPU trains.
        checkpoints: how many are written on the way.
        environment: false where it lies ready, as on this computer.
        line_bytes_per_s: what the machine's line was measured to carry; None where it was not.

    Returns: the low and the high end. Download and installation go on at the same time.

    >>> minilm = Shape(384, 6, 1536, 30522, 384, 512)
    >>> quickstart = Training(480, 120, 100, epochs=3, batch=16, max_length=128, labels=5)
    >>> need = footprint(quickstart, parameters=22_713_216, shape=minilm, download_bytes=91_000_000)
    >>> low, high = expected_hours(need, 165.2)
    >>> round(low * 60, 1), round(high * 60, 1)
    (0.3, 5.2)
    """
    slow_line, fast_line = (min(line_bytes_per_s or each, each) for each in _DOWNLOAD_BYTES_PER_S)
    slow_disk, fast_disk = _DISK_BYTES_PER_S
    low_train_s, high_train_s = training_seconds(
        need.training_flops, steps=need.steps, tflops=gpu_tflops, method=need.method
    )
    written_bytes = need.result_bytes + checkpoints * need.checkpoint_bytes
    low_setup_s = need.download_bytes / fast_line
    high_setup_s = need.download_bytes / slow_line
    if environment:
        low_setup_s = max(low_setup_s, _INSTALL_S[0])
        fetched_bytes = ENVIRONMENT_DOWNLOAD_BYTES + need.download_bytes
        high_setup_s = max(fetched_bytes / slow_line, _INSTALL_S[1])
    low_s = low_setup_s + _START_S[0] + low_train_s + _FINISH_S[0] + written_bytes / fast_disk
    high_s = high_setup_s + _START_S[1] + high_train_s + _FINISH_S[1] + written_bytes / slow_disk
    return low_s / 3600, high_s / 3600
