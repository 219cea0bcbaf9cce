"""The program's own environment, made once per lock and kept between test sessions."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import platformdirs
import pytest
import uv

from infra.pip_to_uv import uv_environment
from infra.simcloud.hub_models import write_tiny_bert
from orchestrator.spec.programs import Program, load_program


@pytest.fixture(scope="session")
def program() -> Program:
    return load_program("text-classification")


@pytest.fixture(scope="session")
def program_python(program: Program) -> Path:
    """Python of an environment that was installed from the CPU lock by uv."""
    lock = program.folder / program.requirements["cpu"]
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    cache = Path(platformdirs.user_cache_dir("gpulease-tests"))
    cache.mkdir(parents=True, exist_ok=True)
    environment = cache / f"{program.name}-{program.python}-{digest}"
    with (cache / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            _install(environment, lock, program.python)
            (environment / "complete").touch()
    return environment / "bin" / "python"


def _install(environment: Path, lock: Path, version: str) -> None:
    told = {**os.environ, **uv_environment()}
    command = [uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", version]
    subprocess.run([*command, str(environment)], env=told, check=True)
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "-p", str(environment), "-r"]
    # Where no configured place has the +cpu wheel, PyTorch's own index does.
    if subprocess.run([*install, str(lock)], env=told, check=False).returncode != 0:
        subprocess.run([*install, str(lock), "--torch-backend", "cpu"], env=told, check=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    write_tiny_bert(folder)
    return folder
