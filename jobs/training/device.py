"""Which processor trains, found out before anything slow is imported."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from training.settings import fail

_CUDA_DRIVER = "libcuda.so.1"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def check_driver(device: str) -> None:
    """End at once when a GPU is asked for and the CUDA driver knows of none.

    torch needs seconds to be imported and says the same; rented seconds are money.
    """
    if device == "cuda" and (problem := _driver_problem()):
        fail(f"device is cuda, but {problem}")


def _driver_problem() -> str:
    try:
        driver = ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return f"this machine has no CUDA driver ({_CUDA_DRIVER})"
    if status := driver.cuInit(0):
        return f"the CUDA driver does not start (cuInit gave {status})"
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) or count.value == 0:
        return "the CUDA driver finds no GPU"
    return ""


def cpu_cores() -> int:
    """Cores that this process may really use: affinity, and the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup 2, or "max": no quota
        return cores or 1
    return min(cores or 1, allowed)


def keep_freed_memory() -> None:
    """Let the process keep what a step frees, for the next one.

    glibc hands it back to the kernel, which gives it again page by page and cleared: on a CPU two
    page faults of three, and a tenth of a small model's step. How much is handed back hangs on
    what lies where, so the same work took longer in one process than in the next.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if set_option:
        set_option(_M_TRIM_THRESHOLD, 2**31 - 1)
        set_option(_M_MMAP_THRESHOLD, 2**25)  # larger blocks are few; glibc takes no more
