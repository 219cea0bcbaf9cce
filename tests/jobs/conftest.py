"""Programs with environments of their own, and tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import program_environment
from infra.simcloud.hub_llama import tiny_llama as make_tiny_llama
from infra.simcloud.hub_models import write_tiny_bert
from orchestrator.spec.programs import Program, load_program


@pytest.fixture(scope="session")
def program() -> Program:
    return load_program("text-classification")


@pytest.fixture(scope="session")
def program_python(program: Program) -> Path:
    """Python of an environment that was installed from the CPU lock by uv."""
    return program_environment.program_python(program)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    write_tiny_bert(folder)
    return folder


@pytest.fixture(scope="session")
def language_program() -> Program:
    return load_program("causal-lm")


@pytest.fixture(scope="session")
def language_python(language_program: Program) -> Path:
    return program_environment.program_python(language_program)


@pytest.fixture(scope="session")
def tiny_llama(language_python: Path) -> Path:
    return make_tiny_llama()
