"""The processor that trains, once torch is imported."""

from __future__ import annotations

import torch
import transformers

from training.device import cpu_cores, keep_freed_memory
from training.settings import fail


def settle(asked: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here, made ready. Ends the program."""
    if asked == "cuda" and not torch.cuda.is_available():
        fail(f"device is cuda, but torch {torch.__version__} finds no usable GPU")
    use_cuda = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    torch.set_num_threads(cpu_cores())
    if not use_cuda:
        keep_freed_memory()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return torch.device("cuda" if use_cuda else "cpu")


def precision(device: torch.device) -> str:
    """Arithmetic of the layers.

    bf16 exists from compute capability 8.0 on (Ampere); older cards have fp16 with loss scaling.
    """
    if device.type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"


def name(device: torch.device) -> str:
    """As its maker calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_gib(device: torch.device) -> float | None:
    """The most that tensors occupied at once; None on a CPU."""
    if device.type != "cuda":
        return None
    return float(torch.cuda.max_memory_reserved(device)) / 2**30
