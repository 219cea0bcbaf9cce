"""Whether the program will see a GPU, asked in the way that the program will ask."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

from .log import Log, last_words
from .runner import Runner
from .setup import SetupFailed

_NO_GPU = 3
_NO_TORCH = 4
_TIMEOUT_S = 180.0  # the first import of torch on a cold disk takes a minute
_QUESTION = f"""
import importlib.util, sys
if importlib.util.find_spec("torch") is None:
    sys.exit({_NO_TORCH})
import torch
if torch.cuda.is_available():
    torch.zeros(1, device="cuda").item()
    sys.exit(0)
sys.exit({_NO_GPU})
"""


class NoGpu(Exception):
    """The job wants a GPU and there is none; the text says who looked."""


def check_gpu(runner: Runner, log: Log, work: Path, env: Mapping[str, str]) -> None:
    """Raises NoGpu; SetupFailed when torch is there and cannot be imported."""
    answer = runner.capture(["python", "-c", _QUESTION], cwd=work, env=env, timeout_s=_TIMEOUT_S)
    code = answer[0] if answer else _NO_TORCH
    if code == 0:
        return
    if code == _NO_GPU:
        raise NoGpu("torch sees no GPU on this machine")
    if code == _NO_TORCH:
        listed = runner.capture(["nvidia-smi", "-L"], cwd=work, env=env, timeout_s=30.0)
        if listed is None or listed[0] != 0 or "GPU" not in listed[1]:
            raise NoGpu("nvidia-smi shows no GPU on this machine")
        return
    runner.run(["python", "-c", _QUESTION], cwd=work, env=env)  # once more, into the log
    raise SetupFailed(f"torch cannot use the GPU: {last_words(log.tail())}")
