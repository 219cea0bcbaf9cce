"""The hub's tiny language model: made and pre-trained once on a computer, then kept."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from infra.program_environment import kept_folder, program_python
from orchestrator.spec.programs import load_program

LLAMA_ID = "simcloud/tiny-llama"

_MOST_S = 900.0  # a minute where nobody else computes
_SCRIPT = Path(__file__).with_name("pretrain.py")


def tiny_llama() -> Path:
    """Its folder in Hugging Face layout; a minute when it is not there yet.

    Raises: subprocess.CalledProcessError when it cannot be made.
    """
    program = load_program("causal-lm")
    lock = program.folder / program.requirements["cpu"]
    digest = hashlib.sha256(_SCRIPT.read_bytes() + lock.read_bytes()).hexdigest()[:12]
    folder = kept_folder() / f"tiny-llama-{digest}"
    with (kept_folder() / "llama.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.is_dir():
            writing = folder.with_suffix(".writing")
            shutil.rmtree(writing, ignore_errors=True)
            python = program_python(program)
            subprocess.run(
                [python, _SCRIPT, writing], check=True, capture_output=True, timeout=_MOST_S
            )
            writing.rename(folder)
    return folder
