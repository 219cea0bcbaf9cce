"""A program's own environment, made once per lock and kept: for tests and for the tiny models."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

import platformdirs
import uv

from infra.pip_to_uv import uv_environment
from orchestrator.spec.programs import Program


def kept_folder() -> Path:
    """Where what is slow to make lies between two runs."""
    folder = Path(platformdirs.user_cache_dir("gpulease-tests"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def package_python(requirement: str) -> Path:
    """Python of an environment that has one package, and what that needs."""
    environment = kept_folder() / re.sub(r"[^\w.]+", "-", requirement)
    with (kept_folder() / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            told = {**os.environ, **uv_environment()}
            make = [uv.find_uv_bin(), "venv", "--quiet", "--clear", str(environment)]
            subprocess.run(make, env=told, check=True)
            install = [uv.find_uv_bin(), "pip", "install", "--quiet", "-p", str(environment)]
            subprocess.run([*install, requirement], env=told, check=True)
            (environment / "complete").touch()
    return environment / "bin" / "python"


def program_python(program: Program, device: str = "cpu") -> Path:
    """Python of an environment that uv installed from the program's lock for a `device`."""
    lock = program.folder / program.requirements[device]
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    environment = kept_folder() / f"{program.name}-{program.python}-{digest}"
    with (kept_folder() / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            _install(environment, lock, program.python, device)
            (environment / "complete").touch()
    return environment / "bin" / "python"


def _install(environment: Path, lock: Path, version: str, device: str) -> None:
    told = {**os.environ, **uv_environment()}
    command = [uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", version]
    subprocess.run([*command, str(environment)], env=told, check=True)
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "-p", str(environment), "-r"]
    # Where no configured place has the +cpu wheel, PyTorch's own index does.
    is_cpu = device == "cpu"
    if subprocess.run([*install, str(lock)], env=told, check=not is_cpu).returncode != 0:
        subprocess.run([*install, str(lock), "--torch-backend", "cpu"], env=told, check=True)
