from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.providers.nvidia import find_gpus

HEADER = "| NVIDIA-SMI 570.86.15   Driver Version: 570.86.15   CUDA Version: 12.8  |"


def nvidia_smi(folder: Path, rows: str, *, exit_code: int = 0) -> str:
    """A program that prints `rows` when asked for a table, else the usual header."""
    program = folder / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in\n*--query-gpu*) cat <<"END"\n{rows}\nEND\n;;\n'
        f"*) echo '{HEADER}' ;;\nesac\nexit {exit_code}\n"
    )
    program.chmod(0o755)
    return str(program)


def test_a_gpu_is_read_with_its_memory_and_the_drivers_cuda(tmp_path: Path) -> None:
    row = "GPU-1, NVIDIA GeForce RTX 4090, 24564, 512, 8.9"

    (gpu,) = find_gpus(nvidia_smi(tmp_path, row))

    assert (gpu.uuid, gpu.name) == ("GPU-1", "NVIDIA GeForce RTX 4090")
    assert gpu.memory_gib == pytest.approx(23.99, abs=0.01)
    assert (gpu.used_gib, gpu.compute_capability, gpu.cuda) == (0.5, 8.9, "12.8")


def test_a_row_that_says_nothing_usable_is_left_out(tmp_path: Path) -> None:
    rows = "GPU-1, NVIDIA GB10, [N/A], [N/A], 12.1\nnonsense\nGPU-2, NVIDIA L4, 23034, 0, [N/A]"

    (gpu,) = find_gpus(nvidia_smi(tmp_path, rows))

    assert (gpu.uuid, gpu.compute_capability) == ("GPU-2", None)


def test_a_driver_that_fails_or_is_absent_means_no_gpu(tmp_path: Path) -> None:
    broken = nvidia_smi(tmp_path, "GPU-1, NVIDIA L4, 23034, 0, 8.9", exit_code=9)

    assert find_gpus(broken) == []
    assert find_gpus(str(tmp_path / "nothing")) == []
