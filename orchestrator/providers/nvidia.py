"""What nvidia-smi says of a computer's GPUs."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass

_ANSWER_S = 20.0
# Asked for as one table; without arguments nvidia-smi says the driver's CUDA.
TABLE = (
    "--query-gpu=uuid,name,memory.total,memory.used,compute_cap",
    "--format=csv,noheader,nounits",
)


@dataclass(frozen=True, slots=True)
class FoundGpu:
    """One GPU of a computer."""

    uuid: str
    name: str  # as its driver says
    memory_gib: float
    used_gib: float
    compute_capability: float | None
    cuda: str  # newest that the driver runs


def find_gpus(nvidia_smi: str = "nvidia-smi") -> list[FoundGpu]:
    """This computer's GPUs, in the driver's order; empty without a driver that answers."""
    table = _run(nvidia_smi, *TABLE)
    return to_gpus(table, _run(nvidia_smi)) if table else []


def to_gpus(table: str, banner: str) -> list[FoundGpu]:
    """GPUs of a TABLE, and what nvidia-smi prints without arguments."""
    version = re.search(r"CUDA Version:\s*(\d+\.\d+)", banner)
    cuda = version.group(1) if version else ""
    rows = csv.reader(table.splitlines(), skipinitialspace=True)
    return [gpu for row in rows if (gpu := _to_gpu(row, cuda)) is not None]


def _to_gpu(row: list[str], cuda: str) -> FoundGpu | None:
    if len(row) != 5:
        return None
    uuid, name, total, used, capability = (field.strip() for field in row)
    try:
        total_gib, used_gib = float(total) / 1024, float(used) / 1024
    except ValueError:  # "[N/A]": a GPU that shares this computer's memory, or a broken one
        return None
    known = re.fullmatch(r"\d+\.\d+", capability)
    return FoundGpu(uuid, name, total_gib, used_gib, float(capability) if known else None, cuda)


def _run(nvidia_smi: str, *arguments: str) -> str:
    program = shutil.which(nvidia_smi)
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
